"""The contract of elementwise maps y -> z, given each entry's parameters."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from tfp_iaf._inherited import drop_outdated
from tfp_iaf._types import TensorLike

__all__ = ["ElementwiseMap", "MapLike", "wrong_shapes"]


class ElementwiseMap(abc.ABC):
    """z_i = f(y_i; parameters_i), increasing in y_i: what a user writes to bring a map of their own.

    A subclass sets `params`, the number P of parameters per entry, and defines `forward` and `inverse`. Parameters of zero
    should give a map near the identity: the networks start there. Register the class with
    `keras.saving.register_keras_serializable()` to save models that hold it, and extend `get_config` if its constructor takes
    arguments.

    Both methods return the value together with log df/dy, the log-derivative of the *forward* direction at y. A subclass of a
    map that writes `forward` anew writes `inverse` anew, too. A map does not change once it is made: graphs are kept for it.

    >>> import tensorflow as tf
    >>> class Shift(ElementwiseMap):
    ...     params = 1
    ...     def forward(self, y, parameters):
    ...         return y + parameters[..., 0], tf.zeros_like(y)
    ...     def inverse(self, z, parameters):
    ...         return z - parameters[..., 0], tf.zeros_like(z)
    >>> z, log_derivative = Shift().forward(tf.ones([4]), tf.ones([4, 1]))
    >>> z.numpy()
    array([2., 2., 2., 2.], dtype=float32)
    """

    params: int = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        drop_outdated(cls, ElementwiseMap, "forward", "inverse")
        drop_outdated(cls, ElementwiseMap, "inverse", "inverse_near")

    @abc.abstractmethod
    def forward(self, y: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(z, log df/dy at y), both of y's shape `[..., *event]`; `parameters` is `[..., *event, P]`."""

    @abc.abstractmethod
    def inverse(self, z: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(y, log df/dy at y), both of z's shape."""

    def inverse_near(self, z: tf.Tensor, parameters: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        """The y of `inverse`, without a gradient: a map that searches may begin at `start`, a guess of y."""
        del start
        return self.inverse(z, parameters)[0]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, JSON-able."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ElementwiseMap:
        return cls(**config)


def wrong_shapes(elementwise_map: ElementwiseMap, x: tf.Tensor, value: TensorLike, log_derivative: TensorLike) -> ValueError:
    """The error of a map whose value or log-derivative at x has another shape than x."""
    got = " and ".join(str(tuple(np.shape(result))) for result in (value, log_derivative))
    return ValueError(
        f"{type(elementwise_map).__name__} must return a value and a log-derivative of the shape of its argument, "
        f"{tuple(x.shape)}, got {got}: a log-derivative is one number for each entry."
    )


# What a `bijector_fn=` may be, see `maps.get`.
MapLike: TypeAlias = str | ElementwiseMap | tuple[Callable, int] | dict[str, Any]
