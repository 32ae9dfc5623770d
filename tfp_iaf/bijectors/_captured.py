"""Arguments of bijectors that may change: variables are kept, and read with each call."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import _compat
from tfp_iaf._tensors import check_numbers

__all__ = ["captured"]


def captured(value, dtype, owner):
    """The value as a tensor; a `tf.Variable`, `keras.Variable` or `tfp.util.DeferredTensor` as something that TFP tracks.

    Args:
        value: array, tensor or variable.
        dtype: the `tf.DType` expected of tensors and variables; None for any floating-point one.
        owner: name for the error.

    Raises:
        ValueError: for another dtype.

    >>> captured(tf.Variable([1.0, 2.0]), tf.float32, "flow").name
    'Variable:0'
    """
    check_numbers(f"The context of {owner}", value)
    if isinstance(value, keras.Variable):
        value = _compat.tf_variable(value)
    is_reference = isinstance(value, tf.Variable | tfp.util.DeferredTensor)
    if dtype is not None and (is_reference or tf.is_tensor(value)) and value.dtype != dtype:
        raise ValueError(
            f"{owner} has dtype {dtype.name}, got a context of dtype {value.dtype.name}: cast it, or build the network with "
            f"dtype={value.dtype.name!r}."
        )
    return value if is_reference else tf.convert_to_tensor(value, dtype)
