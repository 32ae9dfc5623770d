"""Locations and scale parameters side by side in a decoder's last axis."""

import tensorflow as tf

__all__ = ["halves"]


def halves(parameters, name):
    """The two halves of the last axis; `name` is the likelihood's, for errors.

    >>> loc, unconstrained = halves(tf.zeros([2, 6]), "normal")
    >>> loc.shape
    TensorShape([2, 3])
    """
    if parameters.shape[-1] is not None and parameters.shape[-1] % 2:
        raise ValueError(
            f"The {name} likelihood takes a location and a scale parameter for every entry: the decoder's last axis must be "
            f"even, got {tuple(parameters.shape[1:])}."
        )
    return tf.split(parameters, 2, axis=-1)
