"""For flows on vectors whose parameters are tensors: how the parameters are kept, and which events fit."""

import numpy as np
import tensorflow as tf

from tfp_iaf._tensors import check_batches, check_numbers
from tfp_iaf.bijectors._captured import captured

__all__ = ["captured_parameters", "vector_event"]


def captured_parameters(owner, optional=(), **parameters):
    """The parameters as tensors of one floating dtype, in their order; variables are kept, see `captured`.

    Args:
        owner: name for errors.
        optional: names of parameters that may be None, and then stay so.
        **parameters: arrays, tensors or variables.

    Raises:
        ValueError: for dtypes that differ or are not floating-point.

    >>> u, b = captured_parameters("flow", u=tf.ones([2]), b=0.5)
    >>> b.dtype
    tf.float32
    """
    for name, value in parameters.items():
        if value is not None or name not in optional:
            check_numbers(f"{owner}: {name}", value)
    typed = {
        name: value.dtype
        for name, value in parameters.items()
        if hasattr(value, "dtype") and not isinstance(value, np.ndarray | np.generic)
    }
    dtype = None if not typed else tf.as_dtype(next(iter(typed.values())))
    found = []
    for name, value in parameters.items():
        if value is not None:
            value = captured(value if name in typed else tf.convert_to_tensor(value, dtype), None, owner)
            dtype = dtype or value.dtype
            if not value.dtype.is_floating:
                raise ValueError(f"{owner}: {name} must be floating-point, got dtype {value.dtype.name}.")
            if value.dtype != dtype:
                raise ValueError(
                    f"{owner} has parameters of dtype {dtype.name}, got {name} of dtype {value.dtype.name}: cast one of them."
                )
        found.append(value)
    return found


def vector_event(flow, y, size):
    """y as a tensor of the flow's dtype, whose last axis has this size.

    Raises:
        ValueError: for another size or dtype, for a scalar, and for a batch shape that does not broadcast with the parameters'.
    """
    y = tf.convert_to_tensor(flow._with_right_dtype(y), flow.dtype)
    if y.shape.rank is not None and (y.shape.rank < 1 or y.shape[-1] not in (None, size)):
        raise ValueError(f"{type(flow).__name__} expects events of shape [..., {size}], got {y.shape}.")
    batches = {"events": y.shape[:-1]}
    for name, properties in flow._parameter_properties(flow.dtype).items():
        value = getattr(flow, name)
        if value is not None:
            rank = value.shape.rank
            batches[name] = None if rank is None else value.shape[: rank - properties.event_ndims]
    check_batches(flow.name, batches)
    return y
