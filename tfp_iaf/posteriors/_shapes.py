"""The shape of a latent, and whether a given one fits it."""

import numpy as np
import tensorflow as tf

from tfp_iaf._arguments import integer

__all__ = ["check_value_shape", "event_shape"]


def event_shape(latent_size, latent_shape):
    """The shape of one latent, given its size or its shape.

    >>> event_shape(3, None), event_shape(None, [4, 4, 2])
    ((3,), (4, 4, 2))
    """
    if (latent_size is None) == (latent_shape is None):
        raise ValueError(f"Give latent_size or latent_shape, one of them: got {latent_size!r} and {latent_shape!r}.")
    if latent_shape is None:
        return (integer("latent_size", latent_size),)
    if not np.iterable(latent_shape) or isinstance(latent_shape, str) or not 1 <= len(latent_shape) <= 3:
        raise ValueError(f"latent_shape must be (D,), (T, C) or (H, W, C), got {latent_shape!r}.")
    return tuple(integer("A size in latent_shape", size) for size in latent_shape)


def check_value_shape(name, shape, event_shape, batch):
    """Raises a ValueError unless a given z of this shape fits the latents, and features of so many rows."""
    shape, axes = tf.TensorShape(shape), -len(event_shape)
    fits = shape.rank is None or (shape.rank >= -axes and shape[axes:].is_compatible_with(event_shape))
    if fits and shape.rank is not None and shape.rank > -axes:
        fits = shape[axes - 1] == batch or 1 in (shape[axes - 1], batch) or None in (shape[axes - 1], batch)
    if not fits:
        event = ", ".join(map(str, event_shape))
        raise ValueError(
            f"{name} expects z of shape [..., {'batch' if batch is None else batch}, {event}], got {tuple(shape)}."
        )
