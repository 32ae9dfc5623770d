"""The one door for data: whatever `fit` takes comes out of it checked, in one form."""

import math
import warnings

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf._tensors import array_of_numbers
from tfp_iaf.likelihoods.normal import standardization_hint
from tfp_iaf.models._frames import check_indexes

__all__ = [
    "CheckedData",
    "as_array",
    "checked_batches",
    "unpacked",
    "validation_parts",
    "warn_of_rounding",
]

TARGETS = (
    "The model takes no targets y: give x alone, or one tuple, (x, condition) to a conditional model and (y, condition) to a "
    "conditional density (inside a dataset or generator ((x, condition),), with weights ((x, condition), None, weights))."
)
KINDS = "an array, a tensor, a DataFrame, a list, a tf.data.Dataset, a generator or a keras.utils.PyDataset"


def as_array(name, x, dtype="float32"):
    """x as an array of numbers that the given dtype can hold.

    Args:
        name: what errors call it.
        x: an array, an eager tensor, a DataFrame or a (nested) list of numbers.
        dtype: in which the model will compute.

    Raises:
        ValueError: for complex numbers, strings and objects, masked entries, ragged or sparse data, entries out of range.

    >>> as_array("data", [[0, 1]]).shape
    (1, 2)
    """
    if isinstance(x, list) and len(x) == 2 and len({str(getattr(part, "shape", None)) for part in x}) == 2:
        shapes = " and ".join(str(tuple(np.shape(part))) for part in x)
        raise ValueError(
            f"A list is one array, got a list of two shapes, {shapes}: give x and its condition as a tuple, (x, condition)."
        )
    is_ready = type(x) is np.ndarray and x.dtype.kind in "biuf"
    is_ready = is_ready or (isinstance(x, tf.Tensor) and x.dtype in (tf.float32, tf.float64))
    array = np.asarray(x) if is_ready else array_of_numbers(f"The {name}", x, KINDS)
    if array.dtype.kind == "f" and array.dtype.itemsize > np.dtype(dtype).itemsize and array.size:
        limit = np.finfo(dtype).max
        # A NaN passes: it has an error of its own.
        if np.abs(array[np.isfinite(array)]).max(initial=0.0) > limit:
            raise ValueError(f"The {name} have entries beyond {limit:.2g}, the largest of {dtype}: rescale them.")
    if name == "condition" and array.dtype.kind in "iu" and (array.astype(dtype).astype(array.dtype) != array).any():
        limit = 2 ** (np.finfo(dtype).nmant + 1)
        raise ValueError(
            f"The condition has integers beyond {limit:,}, which {dtype} cannot tell apart: if they are categories, number "
            "them from 0."
        )
    return array


def hint_of_condition(condition):
    """One line about conditions `[N, ...]` that are far from standardized; None for others, and without conditions."""
    if condition is None or _may_be_classes(condition):
        return None
    return standardization_hint("A conditional model expects standardized conditions", condition)


def _may_be_classes(condition):
    """Whether an array `[N, ...]` holds integers, or one whole number of at least 0 per row in floats: numbers of classes."""
    if condition.dtype.kind != "f":
        return True
    first = condition[:4096]
    return math.prod(first.shape[1:]) == 1 and bool(np.all((first >= 0) & (first == np.round(first))))


def warn_of_rounding(condition, parts):
    """Warns of integers, such as the numbers of categories, that parts of half precision round.

    Args:
        condition: an array of integers.
        parts: the layers that the model gives the condition to, or None.
    """
    for part in parts:
        if part is None or (isinstance(part, keras.Model) and not isinstance(part, keras.Sequential)):
            continue  # A functional model hands its inputs on to layers that cannot be told here.
        # A Sequential casts its inputs to what its first layer computes in.
        dtype = part.inputs[0].dtype if isinstance(part, keras.Sequential) else part.compute_dtype if part.autocast else None
        limit = {"float16": 2**11, "bfloat16": 2**8}.get(dtype, math.inf)
        if max(-int(condition.min()), int(condition.max())) > limit:
            warnings.warn(
                f"The condition has integers beyond {limit:,}, and {part.name} rounds them to {dtype}: if they are categories, "
                'make the layer that reads them with dtype="float32".',
                stacklevel=2,
            )


def unpacked(element):
    """(x, weights) of x, (x,), (x, None) or (x, None, weights), as datasets and generators give them; x may be (x, condition).

    Raises:
        ValueError: where targets stand in the place of None.
    """
    if not isinstance(element, tuple):
        return element, None
    if not 1 <= len(element) <= 3 or not all(y is None or isinstance(y, tf.NoneTensorSpec) for y in element[1:2]):
        raise ValueError(TARGETS)
    return element[0], element[2] if len(element) == 3 else None


def validation_parts(given):
    """(x, weights) of `validation_data`: x, (x, condition), or (x, None, weights) where x may be (x, condition)."""
    if isinstance(given, tuple) and len(given) == 2 and given[1] is not None:
        return given, None
    return unpacked(given)


def checked_batches(model, x, batch_size):
    """See `CheckedModel.batches`."""

    def checked(element):
        data, weights = unpacked(element)
        if weights is not None:
            raise ValueError("The data have weights, and each example gets a value of its own: leave the weights out.")
        data = model.check_data(data)
        return data if isinstance(data, tuple) else (data,)

    if isinstance(x, tf.data.Dataset):
        for spec in tf.nest.flatten(unpacked(x.element_spec)[0]):
            _check_spec(spec)
        if x.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise ValueError("The dataset repeats without end: evaluate it before .repeat(), or .take() a number of batches.")
        dataset = x.rebatch(batch_size)
        count = int(dataset.cardinality())
        return map(checked, dataset.as_numpy_iterator()), count if count >= 0 else None
    if isinstance(x, keras.utils.PyDataset) or hasattr(x, "__next__"):
        if isinstance(x, keras.utils.PyDataset):
            if x.num_batches is None:
                raise ValueError("The PyDataset has no end (its num_batches is None): give its length.")
            x = map(x.__getitem__, range(x.num_batches))
        return _of_one_size(map(checked, x), batch_size), None
    arrays = checked((x,))
    starts = range(0, len(arrays[0]), batch_size)
    return (tuple(array[start : start + batch_size] for array in arrays) for start in starts), len(starts)


def _of_one_size(batches, batch_size):
    """The same rows in batches of this size."""
    held = None
    for batch in batches:
        held = batch if held is None else tuple(map(np.concatenate, zip(held, batch)))
        while len(held[0]) >= batch_size:
            yield tuple(array[:batch_size] for array in held)
            held = tuple(array[batch_size:] for array in held)
    if held is not None and len(held[0]):
        yield held


class CheckedData:
    """Data for one of Keras's methods, checked: at once where they are in memory, else batch by batch.

    Args:
        x: what the user gave: arrays, tensors, DataFrames, lists, or a tuple (x, condition) of those; a `tf.data.Dataset` of
            batches; a generator; a `keras.utils.PyDataset`.
        sample_weight: the user's, `[N]`, for arrays.
        model: the `ElboModel` that checks.

    Attributes:
        arguments: a dict of `x`, `y` and `sample_weight` for Keras. Where there are weights, `y` holds zeros: without
            targets Keras drops the weights.
        shapes: the shapes of x, or of (x, condition), with None for the batch.
        first: the first rows of x, or of (x, condition), as arrays; None if a dataset has still to be read.
        error: the ValueError of a batch that was refused in a thread of `tf.data`, where TensorFlow buries it under its own.
        has_columns: whether x or the condition is a table with named columns.
        can_be_shuffled: whether Keras can shuffle the data.
    """

    def __init__(self, x, sample_weight, model):
        self.model = model
        self.error = None
        self.first = None
        self.has_hinted = False
        self.has_columns = any(hasattr(part, "columns") for part in (x if isinstance(x, tuple) else (x,)))
        self.can_be_shuffled = not (isinstance(x, tf.data.Dataset) or hasattr(x, "__next__"))
        y = None
        if isinstance(x, tf.data.Dataset | keras.utils.PyDataset) or hasattr(x, "__next__"):
            if sample_weight is not None:
                raise ValueError("sample_weight goes with arrays: let the dataset give elements (x, None, weights).")
            convert = self._dataset if isinstance(x, tf.data.Dataset) else self._batches
            x = convert(x)
        else:
            x, sample_weight = self._batch(x, sample_weight)
            if not len(x[0] if isinstance(x, tuple) else x):
                raise ValueError("The data have no rows, got an empty array: give at least one example.")
            self.first = x
            y = None if sample_weight is None else np.zeros(len(sample_weight), np.float32)
        if self.first is not None:
            self.shapes = tf.nest.map_structure(lambda array: (None, *array.shape[1:]), self.first)
        self.arguments = {"x": x, "y": y, "sample_weight": sample_weight}

    def _batch(self, x, weights):
        """x and its weights as arrays, checked."""
        first = x[0] if isinstance(x, tuple) and x else x
        x = self.model.check_data(x)
        if weights is None:
            return x, None
        check_indexes(first, weights, "sample weights")
        return x, self._weights(weights, len(x[0] if isinstance(x, tuple) else x))

    def _weights(self, weights, rows):
        weights = as_array("sample weights", weights)
        if weights.shape not in [(rows,), (rows, 1)]:
            raise ValueError(f"sample_weight must have shape [{rows}], one weight per example, got {list(weights.shape)}.")
        is_wrong = ~(np.isfinite(weights) & (weights >= 0))
        if is_wrong.any():
            raise ValueError(f"sample_weight must hold finite numbers of at least 0, got {weights[is_wrong][0]}.")
        return np.reshape(weights, [rows]).astype(np.float32)

    def _element(self, element):
        """An element of a generator, checked, as Keras takes it."""
        x, weights = self._batch(*unpacked(element))
        return (x,) if weights is None else (x, np.zeros(len(weights), np.float32), weights)

    def _batches(self, x):
        """A generator or PyDataset whose batches are checked."""
        if isinstance(x, keras.utils.PyDataset):
            self.first = self._element(x[0])[0]
            return _CheckedPyDataset(x, self._recorded(self._element))
        try:
            first = self._element(next(x))
        except StopIteration:
            raise ValueError("The generator gives no batch.") from None
        self.first = first[0]

        def generator():
            yield first
            for element in x:
                yield self._recorded(self._element)(element)

        return generator()

    def _recorded(self, check):
        """The same function, which keeps its ValueError in `error`."""

        def recorded(*args):
            try:
                return check(*args)
            except ValueError as error:
                self.error = error
                raise

        return recorded

    def _dataset(self, dataset):
        """A dataset whose batches are checked: each inside TensorFlow, and the first of each pass and any that fails in Python,
        where the error is made."""
        x, weights = unpacked(dataset.element_spec)
        specs = x if isinstance(x, tuple) else (x,)
        for spec in specs:
            _check_spec(spec)
        self.shapes = tf.nest.map_structure(lambda spec: (None, *spec.shape[1:]), x)
        self.model.check_shapes(self.shapes)
        if weights is not None and weights.shape.rank not in (1, 2):
            raise ValueError(f"A dataset's weights must have shape [batch], one per example, got {weights.shape}.")
        in_graph = self.model.is_valid if self.model.checks_in_graphs else None

        def in_python(index, *arrays):
            arrays = [array.numpy() for array in arrays]
            checked, _ = self._batch(
                tf.nest.pack_sequence_as(x, arrays[: len(specs)]), arrays[len(specs)] if weights is not None else None
            )
            if not self.has_hinted:
                self.has_hinted = True
                self.model.give_hints(checked)
            return True

        def check(index, element):
            values, weight = unpacked(element)
            flat = tf.nest.flatten(values) + ([] if weight is None else [weight])

            def ask_python():
                return tf.py_function(self._recorded(in_python), [index, *flat], tf.bool)

            passes = tf.constant(False)
            if in_graph is not None:
                passes = (index > 0) & tf.reduce_all(in_graph(values))
                if weight is not None:
                    weight = tf.cast(weight, tf.float32)
                    is_per_example = tf.size(weight) == tf.shape(flat[0])[0]
                    passes &= is_per_example & tf.reduce_all(tf.math.is_finite(weight) & (weight >= 0.0))
            passes = tf.cond(passes, lambda: True, ask_python)
            with tf.control_dependencies([passes]):
                values = tf.nest.map_structure(tf.identity, values)
            if weight is None:
                return (values,)
            weight = tf.reshape(weight, [-1])
            return values, tf.zeros_like(weight), weight

        return dataset.enumerate().map(check, num_parallel_calls=1, deterministic=True)


class _CheckedPyDataset(keras.utils.PyDataset):
    """A PyDataset whose elements pass through `check`."""

    def __init__(self, dataset, check):
        super().__init__(dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size)
        self.dataset = dataset
        self.check = check

    def __getitem__(self, index):
        return self.check(self.dataset[index])

    @property
    def num_batches(self):
        return self.dataset.num_batches

    def on_epoch_begin(self):
        self.dataset.on_epoch_begin()

    def on_epoch_end(self):
        self.dataset.on_epoch_end()


def _check_spec(spec):
    """Raises a ValueError unless a dataset's elements are batches of dense numbers of a known rank."""
    if not isinstance(spec, tf.TensorSpec):
        raise ValueError(
            f"A dataset's elements must be dense tensors, x or ((x, condition),), got {type(spec).__name__} inside them."
        )
    if not (spec.dtype.is_floating or spec.dtype.is_integer or spec.dtype == tf.bool):
        raise ValueError(f"The data must be real numbers, got a dataset of dtype {spec.dtype.name}.")
    if spec.shape.rank is None:
        raise ValueError(
            "The dataset gives tensors of unknown rank: state their shape by .map(lambda x: tf.ensure_shape(x, [None, ...]))."
        )
    if spec.shape.rank == 0:
        raise ValueError("The dataset gives single numbers, got no batch axis: call .batch(batch_size) on it.")
