"""The map of a user's function that makes elementwise bijectors of TFP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import _compat, _registered
from tfp_iaf._arguments import given, integer
from tfp_iaf.bijectors.maps.base import ElementwiseMap

__all__ = ["FromBijector"]


@keras.saving.register_keras_serializable("tfp_iaf")
class FromBijector(ElementwiseMap):
    """The map of a user's function, parameters `[..., P]` -> increasing elementwise `tfb.Bijector`.

    Args:
        bijector_fn: the function; register it with Keras to save models that hold it.
        params: P, the number of parameters per entry.

    Raises:
        ValueError: if `bijector_fn` is not callable, or `params` is no positive integer.
    """

    def __init__(self, bijector_fn: Callable, params: int) -> None:
        is_object = isinstance(bijector_fn, keras.layers.Layer | tfp.bijectors.Bijector)  # Both can be called.
        if is_object or not callable(bijector_fn):
            raise ValueError(f"FromBijector takes a function from parameters to a tfb.Bijector, got {given(bijector_fn)}.")
        self._bijector_fn = bijector_fn
        self.params = integer("params", params)

    def __eq__(self, other: object) -> bool:
        return type(other) is FromBijector and (other._bijector_fn, other.params) == (self._bijector_fn, self.params)

    def __hash__(self) -> int:
        return hash((self._bijector_fn, self.params))

    def forward(self, y: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        bijector = self._bijector(parameters)
        z, log_derivative = bijector.forward(y), bijector.forward_log_det_jacobian(y, event_ndims=0)
        self._check_shape(z, y, parameters)
        _compat.forget(bijector)
        # A bijector such as tfb.Shift gives one number for all.
        return z, tf.broadcast_to(log_derivative, tf.shape(z))

    def inverse(self, z: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        bijector = self._bijector(parameters)
        y = bijector.inverse(z)
        self._check_shape(y, z, parameters)
        log_derivative = bijector.forward_log_det_jacobian(y, event_ndims=0)
        _compat.forget(bijector)
        return y, tf.broadcast_to(log_derivative, tf.shape(y))

    def _bijector(self, parameters):
        bijector = self._bijector_fn(parameters)
        if not isinstance(bijector, tfp.bijectors.Bijector):
            raise ValueError(f"A map's function must return a tfb.Bijector, got {given(bijector)}.")
        return bijector

    @staticmethod
    def _check_shape(result, value, parameters):
        ranks = value.shape.rank, parameters.shape.rank, result.shape.rank
        if None not in ranks and ranks[2] != max(ranks[0], ranks[1] - 1):
            raise ValueError(
                f"A map's bijector must act on each entry by itself: of values {tuple(value.shape)} and parameters "
                f"{tuple(parameters.shape)} it made {tuple(result.shape)}; index the parameters in the last axis, as in "
                "parameters[..., 0]."
            )

    def get_config(self) -> dict[str, Any]:
        return {"bijector_fn": _registered.serialize("The map's function", self._bijector_fn), "params": self.params}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FromBijector:
        return cls(_registered.deserialize(config["bijector_fn"]), config["params"])
