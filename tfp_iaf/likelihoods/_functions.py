"""Likelihoods p(x|z): from a decoder's output to the distribution of x, and what data it can score."""

import math

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import scales
from tfp_iaf.likelihoods._discretized_logistic_distribution import DiscretizedLogistic

__all__ = ["bernoulli", "check", "discretized_logistic", "get", "normal", "serialize"]

tfd = tfp.distributions

# Of the discretized logistic: 26 of 256 levels at the start; from a sixteenth of a level, one certain level, to 40 times the
# whole range, where only the outer levels are left.
START_LOG_SCALE = math.log(0.1)
LOG_SCALE_BOUND = 6.0


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
    loc, unconstrained = _halves(parameters, "normal")
    return _over_event(tfd.Normal(loc, scales.softplus_scale(unconstrained)))


def discretized_logistic(parameters):
    """Independent 8-bit levels, the integers 0 to 255; the last axis of `parameters` is twice that of x: C locations, then C
    log-scales, of `DiscretizedLogistic` and its unit of 256 levels.

    ```none
    loc = 1/2 + u,   log_scale = log 0.1 + b tanh(v / b), b = 6
    ```

    of a location parameter u and a scale parameter v: at 0 the middle of the range and a scale of 26 levels; bounded, scales
    lie within [0.06, 10^4] levels. End a decoder with `ChannelLogScale()` for one learned scale a channel. The encoder gets the
    levels as they are: begin it with `keras.layers.Rescaling(1 / 127.5, -1)`.

    >>> distribution = discretized_logistic(tf.zeros([2, 8, 8, 6]))
    >>> distribution.event_shape
    TensorShape([8, 8, 3])
    >>> distribution.mean()[0, 0, 0].numpy().round(2)
    array([127.5, 127.5, 127.5], dtype=float32)
    """
    loc, unconstrained = _halves(parameters, "discretized_logistic")
    log_scale = START_LOG_SCALE + LOG_SCALE_BOUND * tf.tanh(unconstrained / LOG_SCALE_BOUND)
    return _over_event(DiscretizedLogistic(0.5 + loc, log_scale))


def _halves(parameters, name):
    if parameters.shape[-1] is not None and parameters.shape[-1] % 2:
        raise ValueError(
            f"The {name} likelihood takes a location and a scale of every entry: the decoder's last axis must be even, got "
            f"{tuple(parameters.shape[1:])}."
        )
    return tf.split(parameters, 2, axis=-1)


def _over_event(distribution):
    """All axes but the first, the batch, become the event."""
    return tfd.Independent(distribution, reinterpreted_batch_ndims=distribution.batch_shape.rank - 1)


_NAMED = {"bernoulli": bernoulli, "discretized_logistic": discretized_logistic, "normal": normal}


def get(identifier):
    """The likelihood of a name ("bernoulli", "discretized_logistic", "normal") or a callable, parameters `[B, ...]` ->
    `tfd.Distribution`.

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
