"""Maps that are elementwise bijectors of TFP: a user's function, and the spline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import _compat, _registered, scales
from tfp_iaf._arguments import given, integer, positive
from tfp_iaf.bijectors.maps.base import ElementwiseMap

__all__ = ["FromBijector", "Spline"]


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


@keras.saving.register_keras_serializable("tfp_iaf")
class Spline(ElementwiseMap):
    """The monotone rational-quadratic spline on [-R, R] with K bins, and the identity outside: P = 3 K - 1.

    Entries beyond R are not transformed, so the base must put its mass inside: standardize the target, learn the base's scale,
    or raise R. Tails beyond R are those of the base.

    The first 2 K parameters are the logits of the bins' widths and heights, the others the K - 1 slopes at the inner knots
    before `scales.softplus_slope`. A bin keeps at least 1/100 of an even share. Parameters of 0 give the identity.

    Args:
        num_bins: K, at least 2.
        half_range: R, positive.

    Raises:
        ValueError: for arguments out of range.

    Source: Durkan et al. 2019 ("Neural spline flows"), section 3.1, through `tfb.RationalQuadraticSpline`.

    >>> Spline(num_bins=4).params
    11
    """

    def __init__(self, num_bins: int = 8, half_range: float = 5.0) -> None:
        self.num_bins = integer("num_bins", num_bins, at_least=2)
        self.half_range = positive("half_range", half_range)
        self.params = 3 * self.num_bins - 1
        self._inner = FromBijector(self._spline, self.params)

    def __eq__(self, other: object) -> bool:
        return type(other) is Spline and other.get_config() == self.get_config()

    def __hash__(self) -> int:
        return hash((self.num_bins, self.half_range))

    def get_config(self) -> dict[str, Any]:
        return {"num_bins": self.num_bins, "half_range": self.half_range}

    def forward(self, y: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._apply(self._inner.forward, y, parameters)

    def inverse(self, z: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._apply(self._inner.inverse, z, parameters)

    def _apply(self, direction, x, parameters):
        # TFP's spline needs a static rank. It starts at 0 and has a bin of size 1 more on either side, where it is not used:
        # under tf.vectorized_map, which ignores the values that tf.pad pads with, its first and last knot are wrong.
        offset = self.half_range + 1.0
        inside = tf.abs(x) < self.half_range
        shifted = tf.clip_by_value(x, -self.half_range, self.half_range) + offset
        flat = direction(tf.reshape(shifted, [-1]), tf.reshape(parameters, [-1, self.params]))
        value, log_derivative = (tf.reshape(part, tf.shape(x)) for part in flat)
        return tf.where(inside, value - offset, x), tf.where(inside, log_derivative, tf.zeros_like(x))

    def _spline(self, parameters):
        bins = self.num_bins
        widths, heights, slopes = tf.split(parameters, [bins, bins, bins - 1], axis=-1)
        one = tf.ones_like(parameters[..., :1])

        def guarded(values):
            return tf.concat([one, values, one], axis=-1)

        def sizes(logits):
            return guarded(2.0 * self.half_range * (0.99 * tf.nn.softmax(logits) + 0.01 / bins))

        return tfp.bijectors.RationalQuadraticSpline(
            sizes(widths), sizes(heights), guarded(scales.softplus_slope(slopes)), range_min=0.0
        )
