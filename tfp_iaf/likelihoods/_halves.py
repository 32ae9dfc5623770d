"""The parameters in a decoder's output: alone, or locations and scale parameters side by side in the last axis."""

import tensorflow as tf

from tfp_iaf._arguments import given
from tfp_iaf._tensors import check_numbers

__all__ = ["decoder_output", "doubled", "halves"]


def decoder_output(parameters, name):
    """The decoder's output `[B, ...]` as a floating-point tensor; `name` is the likelihood's, for errors.

    >>> decoder_output([[0.5]], "normal").shape
    TensorShape([1, 1])
    """
    check_numbers(f"The parameters of the {name} likelihood", parameters)
    parameters = tf.convert_to_tensor(parameters)
    if not parameters.dtype.is_floating or parameters.shape.rank in (None, 0):
        raise ValueError(f"The {name} likelihood takes a decoder's output [batch, ...] of floats, got {given(parameters)}.")
    return parameters


def doubled(data_shape):
    """The shape of parameters whose halves have this shape.

    >>> doubled((8, 8, 3))
    (8, 8, 6)
    """
    return (*data_shape[:-1], 2 * data_shape[-1])


def halves(parameters, name):
    """The two halves of the last axis; `name` is the likelihood's, for errors.

    >>> loc, unconstrained = halves(tf.zeros([2, 6]), "normal")
    >>> loc.shape
    TensorShape([2, 3])
    """
    parameters = decoder_output(parameters, name)
    if parameters.shape.rank < 2 or (parameters.shape[-1] is not None and parameters.shape[-1] % 2):
        raise ValueError(
            f"The {name} likelihood takes a location and a scale parameter for every entry of x: the last axis of the "
            f"decoder's output must be twice that of x, got shape {tuple(parameters.shape[1:])}."
        )
    return tf.split(parameters, 2, axis=-1)
