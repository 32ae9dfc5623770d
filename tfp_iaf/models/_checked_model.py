"""What every model does with data: checks them, on each way that leads into the model."""

from __future__ import annotations

import contextlib
import inspect
import warnings
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import _compat, likelihoods
from tfp_iaf._inherited import is_outdated
from tfp_iaf._keras_arguments import check_callbacks, check_layer_arguments, check_optimizer
from tfp_iaf._progress import announce_compiling
from tfp_iaf._registered import check_functions
from tfp_iaf._tensors import check_numbers
from tfp_iaf._types import Data, Shape, TensorLike
from tfp_iaf.layers import density_dtype
from tfp_iaf.models import _data
from tfp_iaf.models._errors import REPORTED, raise_in_one_line
from tfp_iaf.models._file_model import FileModel
from tfp_iaf.models._frames import check_frames
from tfp_iaf.models._own_weights import check_variables

__all__ = ["CheckedModel", "Untracked"]

NOT_FINITE = "The condition holds NaN or infinite values: clean it first."


class Untracked:
    """Values that belong to a model in memory, and to none of its files: Keras and TensorFlow look for no weights in here."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class CheckedModel(FileModel):
    """A Keras model of data x or (x, condition) without targets, which checks them before it uses them.

    `fit`, `evaluate`, `predict`, their `_on_batch` forms, and calls outside `tf.function`s check alike; see `ElboModel`.

    Args:
        likelihood: a `likelihoods.Likelihood`, whose checks the data must pass; None for finite numbers.
        **kwargs: `name`, `dtype` of `keras.Model`.
    """

    data_name = "x"

    def __init__(self, likelihood: likelihoods.Likelihood | None = None, **kwargs: Any) -> None:
        # Keras would round the data to a mixed policy's float16.
        check_layer_arguments(**kwargs)
        super().__init__(autocast=False, **kwargs)
        # The dtype of data, latents and log-probabilities: float32, or float64 under that policy.
        self.density_dtype = density_dtype(self)
        self.likelihood = likelihood
        # A model without a likelihood takes any finite numbers.
        self.checks = likelihoods.Likelihood() if likelihood is None else likelihood
        # Whether `is_valid` checks all that `check_data` does: not if the likelihood's author wrote `check` alone.
        self.checks_in_graphs = not is_outdated(type(self.checks), "is_valid", "check")
        self._memory: Any = Untracked(passed=())
        # TensorFlow variables that the model needs in no file.
        self._unsaved: Any = Untracked()

    @staticmethod
    def split(x: Data) -> tuple[Any, Any]:
        """(x, condition) of a tuple (x, condition); (x, None) of anything else."""
        return x if isinstance(x, tuple) else (x, None)

    def as_input(self, x: Data) -> Any:
        """x, or (x, condition), as tensors of `density_dtype`; outside `tf.function`s their values are checked, as by `fit`."""
        parts = x if isinstance(x, tuple) else (x,)
        is_concrete = tf.executing_eagerly() and not any(isinstance(part, keras.KerasTensor) for part in parts)
        if is_concrete and not all(map(_is_plain, parts)):
            x = self.check_data(x)
            parts = x if isinstance(x, tuple) else (x,)
        tensors = tuple(keras.ops.cast(part, self.density_dtype) for part in parts)
        inputs = tensors if isinstance(x, tuple) else tensors[0]
        self.check_shapes(tf.nest.map_structure(lambda tensor: tuple(tensor.shape), inputs))
        if is_concrete and not self.built:
            self.build(tf.nest.map_structure(lambda tensor: (None, *tensor.shape[1:]), inputs))
        passed = self._memory.passed
        if is_concrete and not (len(passed) == len(parts) and all(one() is two for one, two in zip(passed, parts))):
            if not (self.checks_in_graphs and bool(tf.reduce_all(self.is_valid(x)))):
                self.check_data(x)
            # The methods pass their inputs on to each other.
            self._memory.passed = tuple(map(weakref.ref, tensors))
        return inputs

    def check_data(self, x: Data) -> Data:
        """x, or (x, condition), as arrays.

        Raises:
            ValueError: for a wrong shape, NaN, numbers out of range, or values that the likelihood gives no probability.
        """
        names = ("data", "condition")
        limit = "float64" if self.density_dtype == keras.config.floatx() == "float64" else "float32"
        parts = x if isinstance(x, tuple) else (x,)
        if len(parts) > 2:
            raise ValueError(f"A tuple is (x, condition), got one of {len(parts)}: give several rows as a list or an array.")
        if any(hasattr(part, "columns") for part in parts):
            check_frames(parts, self.column_names)
        arrays = tuple(_data.as_array(name, part, limit) for name, part in zip(names, parts))
        self.check_shapes(tuple(array.shape for array in arrays) if isinstance(x, tuple) else arrays[0].shape)
        if not self.checks_in_graphs:
            likelihoods.Likelihood().check(arrays[0])  # Finite, unless the author of `check` has written `is_valid`, too.
        self.checks.check(arrays[0])
        if len(arrays) > 1 and not np.isfinite(arrays[1]).all():
            raise ValueError(NOT_FINITE)
        return arrays if isinstance(x, tuple) else arrays[0]

    def is_valid(self, x: Data) -> tf.Tensor:
        """Whether each example of x, or (x, condition), can be scored, `[B]` booleans; in graphs too."""
        data, condition = self.split(x)
        valid = self.checks.is_valid(tf.cast(data, self.density_dtype))
        if condition is not None:
            condition = tf.convert_to_tensor(condition)
            numbers = tf.cast(condition, self.density_dtype)
            # Integers that the model's floats merge would be other categories.
            kept = tf.equal(tf.cast(numbers, condition.dtype), condition) if condition.dtype.is_integer else True
            valid &= self.checks.of_examples(tf.math.is_finite(numbers) & kept)
        return valid

    def check_shapes(self, shapes: Any) -> None:
        """Raises a ValueError unless the shapes of x, or of (x, condition), batch included, are those of the model."""
        data, condition = _shapes_of(shapes)
        if len(data) < 2:
            raise ValueError(
                f"The model takes batches of examples, [batch, ...], got shape {data}: is the dataset batched? Single numbers "
                "per row go into shape [batch, 1]."
            )
        if condition is not None and not condition:
            raise ValueError("The condition must have a row for each example, [batch, ...], got a single number.")
        if condition is not None and None not in (data[0], condition[0]) and data[0] != condition[0]:
            raise ValueError(f"{self.data_name} and condition need the same number of rows, got {data[0]} and {condition[0]}.")
        if self.data_shape is None:
            return
        if condition is None and self.condition_shape is not None:
            raise ValueError("The model takes a condition, got none: give the tuple (x, condition).")
        if condition is not None and self.condition_shape is None:
            raise ValueError("The model takes no condition, got one: give x alone, or make the model for a condition.")
        if not tf.TensorShape(data).is_compatible_with([None, *self.data_shape]):
            raise ValueError(f"The model takes examples of shape {self.data_shape}, got {data[1:]}.")
        if condition is not None and not tf.TensorShape(condition).is_compatible_with([None, *self.condition_shape]):
            raise ValueError(f"The model takes conditions of shape {self.condition_shape}, got {condition[1:]}.")

    def check_built(self) -> None:
        """Raises a ValueError unless the model knows the shape of its data."""
        if self.data_shape is None:
            raise ValueError(
                f"{self.name} is not built: fit it, or call build((None, ...)) with the shape of x, or those of (x, condition)."
            )

    def as_condition(self, condition: TensorLike | None) -> tf.Tensor | None:
        """The condition as a tensor, checked where its values are known; None for a model that takes none."""
        self.check_built()
        if (condition is None) != (self.condition_shape is None):
            raise ValueError(
                "The model takes no condition: leave it out."
                if self.condition_shape is None
                else f"The model takes a condition: pass condition=, whose rows have shape {self.condition_shape}, got none."
            )
        if condition is None:
            return None
        if tf.executing_eagerly():
            check_frames((None, condition), self.column_names)
            array = _data.as_array("condition", condition)
            if not np.isfinite(array).all():
                raise ValueError(NOT_FINITE)
            # A tensor stays what it is, for gradients with respect to it.
            condition = condition if isinstance(condition, tf.Tensor | tf.Variable) else array
        check_numbers("The condition", condition)
        return tf.cast(condition, self.density_dtype)

    def condition_rows(self, condition: TensorLike | None, num_samples: int) -> tf.Tensor | None:
        """The condition as a tensor `[num_samples, ...]`, of as many rows or of one that all share; None without one."""
        condition = self.as_condition(condition)
        if condition is None:
            return None
        shape = tf.concat([[num_samples], tf.constant(self.condition_shape, tf.int32)], axis=0)
        rows = num_samples if isinstance(num_samples, int) else None
        for fits in ((rows, *self.condition_shape), (1, *self.condition_shape), self.condition_shape):
            if condition.shape.is_compatible_with(fits):
                return tf.broadcast_to(condition, shape)
        raise ValueError(
            f"condition must have shape {[num_samples, *self.condition_shape]}, or {list(self.condition_shape)} for one that "
            f"all share, got {condition.shape.as_list()}."
        )

    def give_hints(self, x: Data) -> None:
        """Warns about data, arrays x or (x, condition), that the model can score and will not train well on."""
        data, condition = self.split(x)
        for hint in filter(None, (self.hint(data), _data.hint_of_condition(condition))):
            warnings.warn(hint, stacklevel=2)

    def hint(self, data: np.ndarray) -> str | None:
        """One line about data without their condition, or None; that of the likelihood."""
        return None if self.likelihood is None else self.likelihood.hint(data)

    def __call__(self, x: Data, *args: Any, **kwargs: Any) -> Any:
        # Checked here, since Keras makes a report of an error that is raised in `call`.
        x = self.as_input(x)
        is_traced = bool(kwargs.get("training")) and not tf.executing_eagerly()
        before = _compat.variables_read() if is_traced else ()
        try:
            outputs = super().__call__(x, *args, **kwargs)
        except REPORTED as error:
            raise_in_one_line(error)
            raise
        if is_traced:
            own = _compat.tf_variables([*self.variables, *self.metrics_variables])
            check_variables(_compat.variables_read(), [*before, *own, *vars(self._unsaved).values()])
        return outputs

    def build(self, input_shape: Shape | Sequence[Shape]) -> None:
        self.set_shapes(input_shape)
        self.call_symbolically()

    def set_shapes(self, input_shape: Shape | Sequence[Shape]) -> None:
        """Sets `data_shape` and `condition_shape` from the shape of x, or the shapes of (x, condition), batch included."""
        self.check_shapes(input_shape)
        data, condition = _shapes_of(input_shape)
        if None in data[1:] or None in (condition or ())[1:]:
            raise ValueError(f"All sizes but the batch's must be known, got {input_shape}.")
        self.data_shape, self.condition_shape = data[1:], None if condition is None else condition[1:]

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        check_optimizer(optimizer)
        unused = {"loss": loss, "loss_weights": loss_weights, "metrics": metrics, "weighted_metrics": weighted_metrics}
        for name, value in unused.items():
            if value is not None:
                raise ValueError(f"The model has a loss and metrics of its own: leave {name} out of compile.")
        super().compile(optimizer, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        check_functions(config)
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def fit(self, x: Data = None, y: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        return self._run(super().fit, x, y, *args, **kwargs)

    def evaluate(self, x: Data = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        if any(name.startswith("_") for name in kwargs):
            # Keras's own call within `fit`, whose validation data are checked.
            return super().evaluate(x, y, *args, **kwargs)
        return self._run(super().evaluate, x, y, *args, **kwargs)

    def predict(self, x: Data, *args: Any, **kwargs: Any) -> Any:
        return self._run(super().predict, x, *args, **kwargs)

    def train_on_batch(self, x: Data, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        return self._run(super().train_on_batch, x, y, *args, **kwargs)

    def test_on_batch(self, x: Data, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        return self._run(super().test_on_batch, x, y, *args, **kwargs)

    def predict_on_batch(self, x: Data) -> Any:
        return self._run(super().predict_on_batch, x)

    def _run(self, method, *args, **kwargs):
        """One of Keras's methods, on checked data."""
        signature = inspect.signature(method)
        arguments, names = signature.bind(*args, **kwargs).arguments, signature.parameters
        for name, value in (("y", arguments.pop("y", None)), ("class_weight", arguments.get("class_weight"))):
            if value is not None:
                raise ValueError(_data.TARGETS if name == "y" else "class_weight goes with targets: use sample_weight.")
        if arguments.get("callbacks") is not None:
            check_callbacks(arguments["callbacks"])
        x = arguments.pop("x", None)
        data = [_data.CheckedData(x, arguments.pop("sample_weight", None), self)]
        self.build_for(data[0])
        if "epochs" in names:
            if self.compiled and not self.optimizer.built:
                # An optimizer that makes its variables in the first step has TensorFlow trace that step twice.
                with self.distribute_strategy.scope():
                    self.optimizer.build(self.trainable_variables)
            if data[0].first is not None:
                self.give_hints(data[0].first)
                condition = self.split(data[0].first)[1]
                if condition is not None and condition.dtype.kind in "iu":
                    _data.warn_of_rounding(condition, [getattr(self, name, None) for name in ("encoder", "decoder")])
            self.check_decoder()
            if self.train_function is None and arguments.get("verbose", 1):
                announce_compiling(self)
            with self.columns_of(x) if data[0].has_columns else contextlib.nullcontext():
                if arguments.get("validation_data") is not None:
                    data.append(_data.CheckedData(*_data.validation_parts(arguments["validation_data"]), self))
                    arguments["validation_data"] = tuple(data[1].arguments.values())
            if not data[0].can_be_shuffled:
                arguments.setdefault("shuffle", False)  # Keras warns of its own default.
        arguments.update((name, value) for name, value in data[0].arguments.items() if name in names)
        try:
            return method(**arguments)
        except REPORTED as error:
            raise_in_one_line(error)
            raise
        except tf.errors.OpError:
            if errors := [checked.error for checked in data if checked.error is not None]:
                raise errors[0] from None
            raise

    def build_for(self, x: Data) -> None:
        """Builds the model for data like x, if it is not built: an array, (x, condition), or data that `fit` takes."""
        if not self.built:
            shapes = x.shapes if isinstance(x, _data.CheckedData) else _data.CheckedData(x, None, self).shapes
            with self.distribute_strategy.scope():
                self.build(shapes)
        elif self.train_function is None:
            self.grow()

    def batches(self, x: Data, batch_size: int) -> tuple[Iterator, int | None]:
        """Data that `fit` takes, without weights, in batches of `batch_size` rows; the last may have fewer.

        Returns:
            An iterator of checked batches, tuples of arrays (x,) or (x, condition); and their number, None if it is not known.
        """
        return _data.checked_batches(self, x, batch_size)

    def check_decoder(self) -> None:
        """Warns, before training, if the decoder cannot give what the likelihood needs."""


def _is_plain(x):
    """Whether x is a tensor, variable or array of real numbers without a mask."""
    if isinstance(x, tf.Tensor | tf.Variable):
        return x.dtype.is_floating or x.dtype.is_integer or x.dtype == tf.bool
    return type(x) is np.ndarray and x.dtype.kind in "biuf"


def _shapes_of(input_shape):
    """(shape of x, shape of the condition or None), as tuples, of the shape of x or the shapes of (x, condition)."""
    is_pair = len(input_shape) > 0 and not isinstance(input_shape[0], int | None)
    if is_pair and len(input_shape) != 2:
        raise ValueError(f"A tuple is (x, condition), got one of {len(input_shape)}: give several rows as a list or an array.")
    data, condition = input_shape if is_pair else (input_shape, None)
    return tuple(data), None if condition is None else tuple(condition)
