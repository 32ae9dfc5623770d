"""The contract of likelihoods p(x|z)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf._arguments import given
from tfp_iaf._inherited import drop_outdated
from tfp_iaf._tensors import array_of_numbers

__all__ = ["FromFunction", "Likelihood"]

tfd = tfp.distributions


class Likelihood:
    """p(x|z): from a decoder's output to the distribution of x.

    A subclass writes `distribution`. It may write the other methods too:

    | method | when | default |
    |---|---|---|
    | `check(x)` | the likelihood gives some finite data no probability | refuses NaN and infinite values |
    | `is_valid(x)` | the same inside TensorFlow graphs: for `tf.data` and served models | every entry is finite |
    | `hint(x)` | some data can be scored, but will not train well | no hint |
    | `mean(parameters)` | there is a cheaper way to the mean, or another value serves better | the distribution's |
    | `parameters_shape(data_shape)` | errors are to say what the decoder must give | None: not known |
    | `get_config()` | `__init__` takes arguments | no arguments |

    To save models, decorate the subclass with `@keras.saving.register_keras_serializable()`. A likelihood holds no weights:
    what it learns belongs in the decoder (see `layers.ChannelLogScale`). A subclass of another likelihood that writes
    `distribution` anew does not inherit its `mean`.

    Where `check` is written and `is_valid` is not, batches of a `tf.data.Dataset` are checked by `check`, in Python, and NaN
    and infinite values are refused besides. An export cannot run `check`; it warns.

    Attributes:
        needs_unbounded_parameters: whether each parameter must be able to take any real value; a decoder that ends in a
            bounded activation is then refused.
        data_range: (lowest, highest) value of data, or None where they are not bounded.
        standardization: (centre, scale), a rough mean and standard deviation of the data; a `HierarchicalVAE` reads
            (x - centre) / scale.

    >>> class Exponential(Likelihood):
    ...     def distribution(self, parameters):
    ...         return tfd.Independent(tfd.Exponential(tf.math.softplus(parameters)), 1)
    ...
    ...     def check(self, x):
    ...         super().check(x)
    ...         if (x < 0).any():
    ...             raise ValueError("The exponential likelihood takes data of at least 0, got negative values.")
    >>> Exponential().mean(tf.zeros([2, 3])).shape
    TensorShape([2, 3])
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        drop_outdated(cls, Likelihood, "distribution", "mean")

    needs_unbounded_parameters = False
    data_range: tuple[float, float] | None = None
    standardization = (0.0, 1.0)

    def distribution(self, parameters: tf.Tensor) -> tfp.distributions.Distribution:
        """The distribution of x.

        Args:
            parameters: the decoder's output, `[B, ...]`.

        Returns:
            A `tfd.Distribution` of batch_shape [B] and the event_shape of one example.
        """
        raise NotImplementedError(f"{type(self).__name__} must write distribution(parameters).")

    def check(self, x: np.ndarray) -> None:
        """Raises a ValueError of one line if x, an array `[N, ...]`, holds values that no parameters give a probability."""
        if not (type(x) is np.ndarray and x.dtype.kind in "biuf"):
            x = array_of_numbers("The data", x)
        if np.issubdtype(x.dtype, np.floating) and not np.isfinite(x).all():
            raise ValueError("The data hold NaN or infinite values: clean them before training.")

    def is_valid(self, x: tf.Tensor) -> tf.Tensor:
        """Whether `check` would let each example pass: from a tensor `[B, ...]` to booleans `[B]`, in a graph too."""
        return self.of_examples(tf.math.is_finite(x))

    def hint(self, x: np.ndarray) -> str | None:
        """One line about data that can be scored and will not train well, with what to do; None for all other data."""
        del x
        return None

    def parameters_shape(self, data_shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """The shape of the decoder's output for one example of this shape, which errors name; None where it is not known."""
        del data_shape
        return None

    def mean(self, parameters: tf.Tensor) -> tf.Tensor:
        """E[x given z], `[B, ...]`.

        Raises:
            NotImplementedError: where the distribution has no mean (a quantized one, a Cauchy), or one that says nothing (the
                mean of categories).
        """
        distribution = self.distribution(parameters)
        inner = distribution
        while isinstance(inner, tfd.Independent | tfd.Sample):
            inner = inner.distribution
        if isinstance(inner, tfd.Categorical):
            raise NotImplementedError(f"The mean of categories says nothing; {self.name} has none.")
        try:
            mean = distribution.mean()
        except NotImplementedError:
            raise NotImplementedError(f"The distribution of {self.name} has no mean.") from None
        # The parameters of a graph are not known while it is traced: a mean that is finite at none of these counts as missing.
        with tf.init_scope():
            if not any(self._has_mean_at(value, parameters) for value in (0.0, 3.0, -3.0)):
                raise NotImplementedError(f"The distribution of {self.name} has no finite mean.")
        return mean

    def _has_mean_at(self, value, parameters):
        try:
            mean = self.distribution(tf.fill([1, *parameters.shape[1:]], tf.cast(value, parameters.dtype))).mean()
        except tf.errors.InvalidArgumentError:  # From a distribution that validates its arguments.
            return False
        return bool(tf.reduce_all(tf.math.is_finite(mean)))

    @property
    def name(self) -> str:
        """What errors call the likelihood."""
        return type(self).__name__

    @staticmethod
    def of_examples(entries: tf.Tensor) -> tf.Tensor:
        """Whether all entries of each example are true: from booleans `[B, ...]` to booleans `[B]`."""
        return tf.reduce_all(entries, axis=range(1, entries.shape.rank))

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Likelihood:
        return cls(**config)


class FromFunction(Likelihood):
    """The likelihood of a callable from the decoder's output `[B, ...]` to a `tfd.Distribution` of batch_shape [B].

    >>> likelihood = FromFunction(lambda logits: tfd.Independent(tfd.Poisson(log_rate=logits), 1))
    >>> likelihood.mean(tf.zeros([2, 3])).shape
    TensorShape([2, 3])
    """

    def __init__(self, function: Callable) -> None:
        if isinstance(function, keras.layers.Layer):
            raise ValueError(
                f"A likelihood holds no weights, got the layer {type(function).__name__}: make it the decoder's last layer."
            )
        if not callable(function):
            raise ValueError(f"A likelihood is a function of the decoder's output, got {given(function)}.")
        self.function = function

    def distribution(self, parameters: tf.Tensor) -> tfp.distributions.Distribution:
        return self.function(parameters)

    @property
    def name(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)
