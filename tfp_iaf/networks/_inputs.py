"""Checks of what an autoregressive network is given: they say what was expected, which Keras's own errors do not."""

import keras
import numpy as np
import tensorflow as tf

__all__ = ["check_inputs", "vector_shape"]


def check_inputs(network, y, context):
    """Raises a ValueError unless `y` and `context` fit the network.

    Args:
        network: a layer with `event_shape` and `context_shape`, the latter None for a network without context.
        y: the event.
        context: the context, or None.
    """
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(getattr(y, "dtype", "float32"))):
        raise ValueError(f"{network.name} expects floating-point events, got dtype {y.dtype}; cast them to {network.dtype}.")
    _check_shape(network.name, "an event", y, network.event_shape)
    if network.context_shape is None:
        if context is not None:
            raise ValueError(
                f"{network.name} was built without a context but got one; construct it for a context of size "
                f"{np.shape(context)[-1]} to use it."
            )
    elif context is None:
        raise ValueError(
            f"{network.name} was built for a context of size {network.context_shape[-1]} but got none; pass context="
            f"{_format(network.context_shape)}."
        )
    else:
        _check_shape(network.name, "a context", context, network.context_shape)


def vector_shape(owner, event_shape):
    """`(D,)` of an `event_shape` given as D or (D,)."""
    sizes = tuple(event_shape) if np.iterable(event_shape) else (event_shape,)
    if len(sizes) != 1:
        raise ValueError(f"{owner} acts on vectors: expected event_shape (D,), got {event_shape!r}.")
    return sizes


def _check_shape(owner, what, value, expected):
    shape = tf.TensorShape(value.shape if hasattr(value, "shape") else np.shape(value))
    if shape.rank is None:
        return
    if shape.rank < len(expected) or not shape[-len(expected) :].is_compatible_with(expected):
        raise ValueError(f"{owner} expects {what} of shape {_format(expected)}, got {tuple(shape)}.")


def _format(expected):
    return f"[..., {', '.join(map(str, expected))}]"
