"""The maps that are linear in y, and what a `bijector_fn=` may be: a name, a map, or a function."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import _registered, scales
from tfp_iaf._arguments import given, integer, positive
from tfp_iaf.bijectors.maps.base import ElementwiseMap, MapLike
from tfp_iaf.bijectors.maps.from_bijector import FromBijector
from tfp_iaf.bijectors.maps.monotone import Monotone
from tfp_iaf.bijectors.maps.spline import Spline

__all__ = ["Affine", "Gated", "Location", "get", "serialize"]


@keras.saving.register_keras_serializable("tfp_iaf")
class Affine(ElementwiseMap):
    """z = (y - shift) exp(-log_scale): equation 10 of Kingma et al. 2016 (first version), with m = shift, log s = log_scale.

    The log-scale is bounded by `scales.bounded_log_scale`: scales lie within [0.018, 55], or [exp(-b), exp(b)] of a given b. In
    one dimension (D = 1) the map of a Gaussian is a Gaussian.

    A chain multiplies its scales, so 16 flows at b = 4 can overflow float32 while training is far from its target; a smaller b,
    such as 1, prevents that. Shifts are not bounded: no b makes up for a learning rate at which training diverges.

    Args:
        log_scale_bound: b, positive.

    Raises:
        ValueError: for a bound that is not positive.
    """

    params = 2

    def __init__(self, log_scale_bound: float = scales.LOG_SCALE_BOUND) -> None:
        self.log_scale_bound = positive("log_scale_bound", log_scale_bound)

    def __eq__(self, other: object) -> bool:
        return type(other) is Affine and other.log_scale_bound == self.log_scale_bound

    def __hash__(self) -> int:
        return hash(self.log_scale_bound)

    def get_config(self) -> dict[str, Any]:
        return {"log_scale_bound": self.log_scale_bound}

    def forward(self, y: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shift, log_scale = self._shift_and_log_scale(parameters)
        return (y - shift) * tf.exp(-log_scale), -log_scale

    def inverse(self, z: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shift, log_scale = self._shift_and_log_scale(parameters)
        return z * tf.exp(log_scale) + shift, -log_scale

    def _shift_and_log_scale(self, parameters):
        # Not by indices: the gradient of each would be an array of zeros that is filled in part.
        shift, log_scale = tf.unstack(parameters, num=2, axis=-1)
        return shift, scales.bounded_log_scale(log_scale, self.log_scale_bound)


@keras.saving.register_keras_serializable("tfp_iaf")
class Gated(ElementwiseMap):
    """z = s y + (1 - s) m with s = sigmoid(gate): Kingma et al. 2016 (final version), equations 13 and 14.

    The gate's logit is bounded and biased to 2 by `scales.bounded_gate`. Since s < 1, the map only contracts: log|det| < 0, and
    the base has to supply the width. In one dimension (D = 1) the map of a Gaussian is a Gaussian.
    """

    params = 2

    def forward(self, y: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        m, gate = self._target_and_gate(parameters)
        s = tf.sigmoid(gate)
        return s * (y - m) + m, tf.math.log_sigmoid(gate)

    def inverse(self, z: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        m, gate = self._target_and_gate(parameters)
        return (z - m) * (1.0 + tf.exp(-gate)) + m, tf.math.log_sigmoid(gate)

    def _target_and_gate(self, parameters):
        m, gate = tf.unstack(parameters, num=2, axis=-1)
        return m, scales.bounded_gate(gate)


@keras.saving.register_keras_serializable("tfp_iaf")
class Location(ElementwiseMap):
    """z = y - shift, which preserves volume."""

    params = 1

    def forward(self, y: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return y - tf.squeeze(parameters, axis=-1), tf.zeros_like(y)

    def inverse(self, z: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return z + tf.squeeze(parameters, axis=-1), tf.zeros_like(z)


_NAMED = {"affine": Affine(), "gated": Gated(), "location": Location(), "monotone": Monotone(), "spline": Spline()}


def get(bijector_fn: MapLike, params: int | None = None) -> ElementwiseMap:
    """The `ElementwiseMap` that a `bijector_fn` means.

    Args:
        bijector_fn: an `ElementwiseMap`; a name, "affine", "gated", "location", "monotone" (8 sigmoids) or "spline" (8 bins
            within [-5, 5], or as many bins as `params` says); a pair (function, P) of a function from parameters
            `[..., *event, P]` to an increasing elementwise `tfb.Bijector`; the function alone where `params` is given; or what
            `serialize` returned.
        params: the number of parameters per entry that the network has; None where none is built yet.

    Raises:
        ValueError: for anything else, and where the map takes another number of parameters than the network has.

    >>> get("spline", params=8).num_bins, get("gated").params
    (3, 2)
    """
    if params is not None and type(params) is not int:
        params = integer("params", params)
    if isinstance(bijector_fn, ElementwiseMap):
        found = bijector_fn
    elif isinstance(bijector_fn, str) and bijector_fn in _NAMED:
        fits = bijector_fn == "spline" and params is not None and params >= 5 and params % 3 == 2
        found = Spline((params + 1) // 3) if fits and params != 23 else _NAMED[bijector_fn]
    elif isinstance(bijector_fn, dict):
        found = _registered.deserialize(bijector_fn)
    elif isinstance(bijector_fn, tuple | list) and len(bijector_fn) == 2 and callable(bijector_fn[0]):
        found = FromBijector(*bijector_fn)
    elif callable(bijector_fn) and not isinstance(bijector_fn, type) and params is not None:
        found = FromBijector(bijector_fn, params)
    else:
        is_class = isinstance(bijector_fn, type)
        kind: Any = bijector_fn if is_class else type(bijector_fn)
        got = given(bijector_fn)
        if issubclass(kind, tfp.bijectors.Bijector):
            name = f"tfb.{kind.__name__}"
            got = f"{name}: the network computes its parameters, so give (lambda parameters: {name}(...), P)"
        elif callable(bijector_fn) and not is_class:
            got += ": say how many parameters it takes, bijector_fn=(function, P)"
        raise ValueError(
            f"bijector_fn must be one of {', '.join(sorted(_NAMED))}, an ElementwiseMap, or a pair (function, P) of a function "
            f"from parameters [..., P] to an elementwise tfb.Bijector, got {got}."
        )
    if not isinstance(found, ElementwiseMap):
        raise ValueError(f"bijector_fn must be an ElementwiseMap, got {given(found)}.")
    if params is not None and found.params != params:
        takes = "3 K - 1 parameters per entry for K bins, such as 23" if bijector_fn == "spline" else found.params
        raise ValueError(
            f"bijector_fn={given(bijector_fn)} takes {takes}{'' if bijector_fn == 'spline' else ' parameter(s) per entry'}, "
            f"but the network has params={params}; build it with params={found.params}."
        )
    return found


def serialize(elementwise_map: ElementwiseMap) -> str | dict[str, Any]:
    """What `get` turns back into an equal map: its name where that says it all.

    >>> serialize(Affine()), serialize(Spline())
    ('affine', 'spline')
    """
    for name, named in _NAMED.items():
        if type(elementwise_map) is type(named) and elementwise_map.get_config() == named.get_config():
            return name
    return _registered.serialize("The map", elementwise_map)
