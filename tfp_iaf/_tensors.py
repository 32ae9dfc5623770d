"""Checks of arrays and tensors that many rooms share."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf._arguments import given, integer, non_negative

__all__ = ["array_of_numbers", "check_batches", "check_numbers", "count", "temperature"]

_TENSORS = (tf.Tensor, tf.Variable, keras.Variable, tfp.util.DeferredTensor)


def check_numbers(name: str, value: Any, symbolic: bool = False) -> None:
    """Raises a ValueError unless the value is a dense tensor, an array or nested lists of real numbers.

    TensorFlow would make NaN of None, and reads a text's digits.

    Args:
        name: what errors call it.
        value: what was given.
        symbolic: whether a `keras.KerasTensor` will do.

    >>> check_numbers("z", [[0.5, 1.0]])
    """
    if isinstance(value, _TENSORS) or (symbolic and isinstance(value, keras.KerasTensor)):
        dtype = tf.as_dtype(value.dtype)
        if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
            raise ValueError(f"{name} must be real numbers, got a tensor of dtype {dtype.name}.")
    elif not (isinstance(value, list | tuple) and any(isinstance(each, tf.Tensor) for each in value)):
        array_of_numbers(name, value)


def array_of_numbers(name: str, value: Any, kinds: str = "an array, a tensor or a list of numbers") -> np.ndarray:
    """The value as a NumPy array of real numbers.

    Args:
        name: what errors call it.
        value: an array, an eager tensor, a DataFrame, a (nested) list of numbers, or a number.
        kinds: what it may be, for errors.

    Raises:
        ValueError: for complex numbers, texts and objects, masked entries, ragged or sparse data.

    >>> array_of_numbers("data", [[0, 1]]).shape
    (1, 2)
    """
    if _is_masked(value):
        raise ValueError(f"{name} must not have masked entries, of which nothing here knows: fill them, or leave them out.")
    if isinstance(value, tf.RaggedTensor | tf.SparseTensor) or hasattr(value, "toarray"):
        raise ValueError(f"{name} must be dense, got {type(value).__name__}: convert it to an array.")
    is_array = hasattr(value, "__array__") and not isinstance(value, keras.KerasTensor | type)
    if isinstance(value, dict) or not (is_array or isinstance(value, list | tuple) or np.isscalar(value)):
        raise ValueError(f"{name} must be {kinds}, got {given(value)}.")
    if getattr(value, "dtype", None) == tf.bfloat16:
        value = tf.cast(value, tf.float32)
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} must have rows of one shape, got a {type(value).__name__} of several shapes.") from None
    if array.dtype.kind == "O":
        array = _of_nullable_columns(value, array)
    if array.dtype.kind not in "biuf":
        dtype = value.dtype.name if isinstance(value, tf.Tensor) else array.dtype
        raise ValueError(f"{name} must be real numbers, got dtype {dtype}{_other_columns(value)}.")
    return array


def _is_masked(value):
    """Whether entries of an array, or of one in a (nested) list, are masked."""
    if isinstance(value, list | tuple):
        # Types first: there may be millions of numbers.
        is_plain = set(map(type, value)) <= {int, float, bool}
        return not is_plain and any(map(_is_masked, value))
    return isinstance(value, np.ma.MaskedArray) and bool(np.ma.is_masked(value))


def _of_nullable_columns(table, array):
    """The numbers of a pandas table whose columns may lack values, which are NaN then; of anything else the array itself."""
    dtypes = list(getattr(table, "dtypes", [])) if hasattr(table, "columns") else [getattr(table, "dtype", None)]
    if not dtypes or any(getattr(dtype, "kind", "O") not in "biuf" or not hasattr(table, "isna") for dtype in dtypes):
        return array
    dtype = np.result_type(*(getattr(dtype, "numpy_dtype", dtype) for dtype in dtypes))
    lacks_values = bool(np.any(table.isna()))
    return table.to_numpy(dtype="float64" if lacks_values else dtype, na_value=np.nan)


def _other_columns(table):
    """For errors: which columns of a table do not hold numbers, and what to do."""
    columns = zip(getattr(table, "columns", ()), getattr(table, "dtypes", ()))
    names = [str(name) for name, dtype in columns if getattr(dtype, "kind", "f") not in "biuf"]
    return f" in {', '.join(names[:3])}: encode categories as numbers, in one-hot form or for an Embedding" if names else ""


def check_batches(owner: str, batch_shapes: dict[str, Any]) -> None:
    """Raises a ValueError where batch shapes do not broadcast.

    Args:
        owner: what errors call the object that got them.
        batch_shapes: a `tf.TensorShape` by the name of what has it, or None where the number of axes is not known.

    >>> check_batches("flow", {"events": [4, 1], "a context": [5]})
    """
    shapes = {name: tf.TensorShape(shape) for name, shape in batch_shapes.items()}
    first = found = next(iter(shapes.values()))
    if first.is_fully_defined() and all(shape == first for shape in shapes.values()):
        return
    try:
        for shape in shapes.values():
            found = tf.broadcast_static_shape(found, shape)
    except ValueError:
        got = " and ".join(f"{name} with batch shape {tuple(shape)}" for name, shape in shapes.items())
        raise ValueError(
            f"{owner} got {got}, which do not broadcast: give all the same, or 1 where one is to be repeated."
        ) from None


def count(name: str, value: Any) -> int | tf.Tensor:
    """The value as a positive int; inside a graph, the tensor of a single integer as it is.

    >>> count("num_samples", 3)
    3
    """
    value = _known_number(value)
    if not isinstance(value, tf.Tensor):
        return integer(name, value)
    if not value.dtype.is_integer or value.shape.rank not in (0, None):
        raise ValueError(f"{name} must be a positive integer, got a tensor of {value.dtype.name} and shape {value.shape}.")
    return value


def temperature(value: Any) -> float | tf.Tensor:
    """The value as a float of at least 0; inside a graph, the tensor of a single number as it is.

    >>> temperature(0.5)
    0.5
    """
    value = _known_number(value)
    if not isinstance(value, tf.Tensor):
        return non_negative("temperature", value)
    if not (value.dtype.is_floating or value.dtype.is_integer) or value.shape.rank not in (0, None):
        raise ValueError(f"temperature must be a number of at least 0, got a tensor of {value.dtype.name} and {value.shape}.")
    return value


def _known_number(value):
    """The number in a tensor or variable of rank 0, where it is known; anything else as it is."""
    if isinstance(value, tf.Variable | keras.Variable):
        value = tf.convert_to_tensor(value)
    is_known = isinstance(value, tf.Tensor) and tf.executing_eagerly() and value.shape.rank == 0
    return np.asarray(value).item() if is_known else value
