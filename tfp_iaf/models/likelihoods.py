"""Likelihoods p(x|z): from a decoder's output to the distribution of x, and what data it can score."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf.bijectors import scales

__all__ = ["bernoulli", "check", "get", "normal", "serialize"]

tfd = tfp.distributions


def bernoulli(parameters):
    """Independent Bernoulli entries; `parameters` are their logits, of x's shape.

    >>> bernoulli(tf.zeros([2, 28, 28])).log_prob(tf.ones([2, 28, 28])).shape
    TensorShape([2])
    """
    return _over_event(tfd.Bernoulli(logits=parameters, dtype=parameters.dtype))


def normal(parameters):
    """Independent normal entries; the last axis of `parameters` is twice that of x: locations, then unconstrained scales.

    The scale is `bijectors.scales.softplus_scale` of the second half.

    >>> normal(tf.zeros([2, 6])).event_shape
    TensorShape([3])
    """
    if parameters.shape[-1] is not None and parameters.shape[-1] % 2:
        raise ValueError(
            "The normal likelihood takes a location and a scale of every entry: the decoder's last axis must be even, got "
            f"{tuple(parameters.shape[1:])}."
        )
    loc, unconstrained = tf.split(parameters, 2, axis=-1)
    return _over_event(tfd.Normal(loc, scales.softplus_scale(unconstrained)))


def _over_event(distribution):
    """All axes but the first, the batch, become the event."""
    return tfd.Independent(distribution, reinterpreted_batch_ndims=distribution.batch_shape.rank - 1)


_NAMED = {"bernoulli": bernoulli, "normal": normal}


def get(identifier):
    """The likelihood of a name ("bernoulli", "normal") or a callable, parameters `[B, ...]` -> `tfd.Distribution`.

    >>> get("normal") is normal
    True
    """
    if isinstance(identifier, str) and identifier in _NAMED:
        return _NAMED[identifier]
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if callable(identifier):
        return identifier
    raise ValueError(
        f"Unknown likelihood {identifier!r}: expected one of {', '.join(sorted(_NAMED))}, or a callable from the decoder's "
        "output to a tfd.Distribution."
    )


def serialize(likelihood):
    """What `get` turns back into the same likelihood."""
    for name, function in _NAMED.items():
        if likelihood is function:
            return name
    return keras.saving.serialize_keras_object(likelihood)


def check(likelihood, parameters_shape, data_shape, dtype):
    """Raises a ValueError unless the likelihood makes a distribution of such data from a decoder output of such shape."""
    distribution = likelihood(tf.zeros([2, *parameters_shape], dtype))
    shapes = distribution.batch_shape, distribution.event_shape
    if shapes != ([2], list(data_shape)):
        raise ValueError(
            f"The decoder's output of shape {parameters_shape} does not fit data of shape {tuple(data_shape)}: of 2 rows, the "
            f"likelihood {_name(likelihood)} makes a distribution of batch_shape {shapes[0]} and event_shape {shapes[1]}."
        )


def _name(likelihood):
    return getattr(likelihood, "__name__", type(likelihood).__name__)
