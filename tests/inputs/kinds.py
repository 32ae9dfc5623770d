"""Kinds of bad arguments: the values that programs pass by mistake, and the mistakes that are made with arrays."""

import functools
import pathlib
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import scipy.sparse
import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["CALLS", "MISTAKES", "VALUES", "Kind"]


class Kind(NamedTuple):
    """A kind of bad argument.

    Args:
        name: of the table.
        make: a function without arguments that returns the value; of a mistake with an array, one of the right array.
        says: words of which a good message may have one, beside the value's own description.
    """

    name: str
    make: Callable[..., Any]
    says: tuple = ()


def _by_name(*kinds):
    return {kind.name: kind for kind in kinds}


@functools.cache
def _keras_2_layer():
    import tf_keras

    return tf_keras.layers.Dense(2)


class Unreadable:
    """An object of a class that nobody has heard of."""

    def __repr__(self):
        return "an unreadable\nobject"


class Table:
    """What a DataFrame is to NumPy."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


# Whatever the parameter, the value is wrong unless its role says otherwise.
VALUES = _by_name(
    Kind("None", lambda: None, ("none", "missing", "must be", "needs", "takes", "without", "give")),
    Kind("a truth value", lambda: True),
    Kind("zero", lambda: 0),
    Kind("one", lambda: 1),
    Kind("a negative integer", lambda: -1),
    Kind("an integer of 71 bits", lambda: 2**70),
    Kind("a fraction", lambda: 0.5),
    Kind("a whole float", lambda: 2.0),
    Kind("a negative fraction", lambda: -0.5),
    Kind("NaN", lambda: float("nan")),
    Kind("infinity", lambda: float("inf"), ("infinite",)),
    Kind("minus infinity", lambda: float("-inf"), ("infinite",)),
    Kind("a complex number", lambda: 1j),
    Kind("an unknown word", lambda: "nonsense"),
    Kind("an empty text", lambda: "", ("''", '""')),
    Kind("a number as text", lambda: "3"),
    Kind("a text of two lines", lambda: "two\nlines", ("two",)),
    Kind("bytes", lambda: b"3"),
    Kind("an empty list", list, ("none", "empty", "(0,)")),
    Kind("a list of zero", lambda: [0]),
    Kind("a list of a negative integer", lambda: [-1]),
    Kind("a list of a fraction", lambda: [1.5]),
    Kind("a list of NaN", lambda: [float("nan")]),
    Kind("a list of a word", lambda: ["a"]),
    Kind("a list of None", lambda: [None]),
    Kind("a list of a truth value", lambda: [True]),
    Kind("a nested list", lambda: [[[1]]]),
    Kind("a ragged list", lambda: [[1], [1, 2]], ("ragged", "several shapes")),
    Kind("a long tuple", lambda: (1, 2, 3, 4, 5, 6)),
    Kind("an empty dict", dict),
    Kind("a dict", lambda: {"a": 1}),
    Kind("a set", lambda: {1, 2}),
    Kind("a generator", lambda: (i for i in range(2)), ("shape ()",)),
    Kind("an object", Unreadable, ("Unreadable",)),
    Kind("a class", lambda: int),
    Kind("a module", lambda: types, ("types", "module")),
    Kind("a function of nothing", lambda: lambda: None, ("lambda", "function")),
    Kind("a function that fails", lambda: _fails, ("_fails", "function")),
    Kind("an exception", lambda: OSError("away")),
    Kind("a path", lambda: pathlib.Path("away"), ("away",)),
    Kind("a NumPy NaN", lambda: np.float32("nan"), ("nan",)),
    Kind("an empty array", lambda: np.zeros([0]), ("none", "empty")),
    Kind("an array of fractions", lambda: np.full([3], 0.5)),
    Kind("an array of texts", lambda: np.array(["a", "b"])),
    Kind("an array of objects", lambda: np.array([None, {}], object)),
    Kind("an array of dates", lambda: np.array(["2020-01-01"], "datetime64[D]")),
    Kind("a masked array", lambda: np.ma.masked_array([1.0, 2.0], [True, False]), ("mask",)),
    Kind("a tensor of texts", lambda: tf.constant(["a", "b"])),
    Kind("a complex tensor", lambda: tf.constant([1j, 2.0])),
    Kind("a ragged tensor", lambda: tf.ragged.constant([[1.0], [1.0, 2.0]]), ("ragged", "Ragged")),
    Kind("a sparse tensor", lambda: tf.sparse.eye(2), ("sparse", "Sparse")),
    Kind("a sparse matrix", lambda: scipy.sparse.eye(2).tocsr(), ("sparse", "csr")),
    Kind("a symbolic tensor", lambda: keras.KerasTensor((2, 2)), ("KerasTensor", "symbolic", "functional")),
    Kind("a Keras layer", lambda: keras.layers.Dense(2)),
    Kind("a Keras 2 layer", _keras_2_layer, ("Keras 2", "Dense")),
    Kind("an optimizer", lambda: keras.optimizers.SGD()),
    Kind("a distribution", lambda: tfp.distributions.Normal(0.0, 1.0)),
    Kind("a bijector", lambda: tfp.bijectors.Exp()),
    Kind("a table", lambda: Table(np.array([["x", "y"]], object)), ("object", "Table")),
)


def _fails(*args, **kwargs):
    raise RuntimeError("This function always fails.")


def _with(value, change):
    changed = np.array(value)
    changed.flat[0] = change
    return changed


def _shaped(name, make, *says):
    return Kind(name, lambda value: make(np.asarray(value)), says)


# Mistakes with an array whose shape, kind and values are right.
MISTAKES = {
    "shape": _by_name(
        _shaped("an axis too many", lambda value: value[..., np.newaxis]),
        _shaped("an axis too few", lambda value: value[..., 0]),
        _shaped("a single number", lambda value: value.flat[0], "()", "[]", "single number"),
        _shaped("a last axis too long", lambda value: np.concatenate([value, value[..., :1]], axis=-1)),
        _shaped("a last axis too short", lambda value: value[..., :-1]),
        _shaped("an empty last axis", lambda value: value[..., :0]),
        _shaped("flat", lambda value: value.reshape([-1, 1])),
        Kind("rows of several lengths", lambda value: [[0.0], [0.0, 1.0]], ("ragged", "several shapes")),
    ),
    "dtype": _by_name(
        _shaped("complex", lambda value: value.astype(np.complex64)),
        _shaped("texts", lambda value: value.astype(str)),
        _shaped("objects", lambda value: np.full(value.shape, None, object)),
        _shaped(
            "dates",
            lambda value: (
                value.astype("datetime64[D]") if value.dtype.kind in "iu" else np.full(value.shape, np.datetime64("2020-01-01"))
            ),
        ),
        Kind("a tensor of texts of the right shape", lambda value: tf.fill(np.shape(value), "a")),
        Kind("a complex tensor of the right shape", lambda value: tf.cast(value, tf.complex64)),
        Kind(
            "a ragged tensor of rows",
            lambda value: tf.RaggedTensor.from_tensor(tf.reshape(tf.cast(value, tf.float32), [len(value), -1])),
            ("ragged", "Ragged"),
        ),
        Kind("a sparse tensor of rows", lambda value: tf.sparse.from_dense(tf.cast(value, tf.float32)), ("sparse", "Sparse")),
        Kind("a dict of arrays", lambda value: {"a": value}),
        Kind("a list of texts", lambda value: np.asarray(value).astype(str).tolist()),
    ),
    "rows": _by_name(
        _shaped("a row too many", lambda value: np.concatenate([value, value[:1]])),
        _shaped("a row too few", lambda value: value[:-1] if len(value) > 2 else np.concatenate([value, value])),
    ),
    "values": _by_name(
        _shaped("one NaN", lambda value: _with(value.astype(np.float64), np.nan), "nan"),
        _shaped("one infinity", lambda value: _with(value.astype(np.float64), np.inf), "infinite"),
        _shaped("masked", lambda value: np.ma.masked_array(value, np.arange(value.size).reshape(value.shape) == 0), "mask"),
        Kind("a tensor with a NaN", lambda value: tf.constant(_with(np.asarray(value, np.float32), np.nan)), ("nan",)),
        Kind("a list with a NaN", lambda value: _with(np.asarray(value, np.float32), np.nan).tolist(), ("nan",)),
        _shaped("a table with a gap", lambda value: Table(_with(value.astype(np.float64), np.nan)), "nan"),
    ),
    "range": _by_name(
        _shaped("beyond float32", lambda value: _with(value.astype(np.float64), 1e300), "largest", "beyond"),
    ),
    "datasets": _by_name(
        Kind("a dataset that is not batched", lambda value: tf.data.Dataset.from_tensor_slices(value), ("batched",)),
        Kind("a dataset of single numbers", lambda value: tf.data.Dataset.range(3), ("single number", "int64", "batch")),
        Kind("a dataset of texts", lambda value: tf.data.Dataset.from_tensors(tf.fill(np.shape(value), "a")), ("string",)),
        Kind("a dataset of dicts", lambda value: tf.data.Dataset.from_tensors({"a": value}), ("dict", "dense", "Spec", "{'a'")),
        Kind("a dataset with targets", lambda value: tf.data.Dataset.from_tensors((value, value)), ("targets",)),
        Kind(
            "a dataset with a NaN",
            lambda value: tf.data.Dataset.from_tensors(_with(np.asarray(value, np.float32), np.nan)),
            ("nan",),
        ),
        Kind(
            "a dataset of unknown rank",
            lambda value: tf.data.Dataset.from_generator(lambda: iter([value]), tf.float32),
            ("rank",),
        ),
        Kind("a generator of nothing", lambda value: iter([]), ("no batch", "none", "generator")),
        Kind("a generator of texts", lambda value: iter([np.full(np.shape(value), "a")]), ("dtype", "generator")),
        Kind(
            "a generator with a NaN", lambda value: iter([_with(np.asarray(value, np.float32), np.nan)]), ("nan", "generator")
        ),
        Kind("a generator with targets", lambda value: iter([(value, value)]), ("targets", "generator")),
        Kind("three parts", lambda value: (value, value, value)),
    ),
}

# Mistakes with the call itself.
CALLS = _by_name(
    Kind("an unknown keyword", None, ("nonsense",)),
    Kind("a missing argument", None, ("missing",)),
)
