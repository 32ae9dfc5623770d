"""The shape of a latent, and whether a given one fits it."""

import numpy as np
import tensorflow as tf

from tfp_iaf._arguments import given, integer, integers
from tfp_iaf._tensors import check_numbers

__all__ = ["check_flows", "check_value", "event_shape", "refuse_log_det"]


def event_shape(latent_size, latent_shape):
    """The shape of one latent, given its size or its shape.

    >>> event_shape(3, None), event_shape(None, [4, 4, 2])
    ((3,), (4, 4, 2))
    """
    if (latent_size is None) == (latent_shape is None):
        got = f"{given(latent_size)} and {given(latent_shape)}"
        raise ValueError(f"Give latent_size or latent_shape, one of them: got {got}.")
    if latent_shape is None:
        return (integer("latent_size", latent_size),)
    shape = integers("latent_shape", latent_shape, "sizes, (D,), (T, C) or (H, W, C)")
    if not 1 <= len(shape) <= 3:
        raise ValueError(f"latent_shape must be (D,), (T, C) or (H, W, C), got {given(latent_shape)}.")
    return shape


def check_value(name, value, event_shape, batch):
    """Raises a ValueError unless a given z fits the latents, and features of so many rows."""
    check_numbers(f"z of {name}", value, symbolic=True)
    shape, axes = tf.TensorShape(np.shape(value)), -len(event_shape)
    fits = shape.rank is None or (shape.rank >= -axes and shape[axes:].is_compatible_with(event_shape))
    if fits and shape.rank is not None and shape.rank > -axes:
        fits = shape[axes - 1] == batch or 1 in (shape[axes - 1], batch) or None in (shape[axes - 1], batch)
    if not fits:
        event = ", ".join(map(str, event_shape))
        raise ValueError(
            f"{name} expects z of shape [..., {'batch' if batch is None else batch}, {event}], got {tuple(shape)}."
        )


def check_flows(name, flows):
    """Raises a ValueError unless these are flows, as `Posterior.flows` must return."""
    if not isinstance(flows, list | tuple):
        raise ValueError(f"{name}.flows must return a list of bijectors.FlowBijectors, got {given(flows)}.")
    for flow in flows:
        if not callable(getattr(flow, "forward_and_log_det", None)):
            raise ValueError(f"{name}.flows must return bijectors.FlowBijectors, got {type(flow).__name__}.")


def refuse_log_det(posterior, flow, log_det):
    """Raises the error of a log_det with more axes than the batch, with which log_q would be one of other latents."""
    raise ValueError(
        f"{type(flow).__name__}, a flow of {posterior.name}, must return one log_det for each latent of shape "
        f"{posterior.event_shape} (or log-derivatives of the values' shape), got log_det of shape {tuple(np.shape(log_det))}."
    )
