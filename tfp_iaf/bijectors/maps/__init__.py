"""The elementwise maps y -> z of an autoregressive flow, given each entry's parameters.

A map works on tensors, not through `tfb.Bijector`: one evaluation gives the value and the log-derivative, and tracing it inside
a Keras layer leaves nothing behind in TFP. Any elementwise `tfb.Bijector` joins in through `FromBijector`.
"""

from tfp_iaf.bijectors.maps.base import ElementwiseMap, MapLike
from tfp_iaf.bijectors.maps.from_bijector import FromBijector
from tfp_iaf.bijectors.maps.monotone import Monotone
from tfp_iaf.bijectors.maps.named import Affine, Gated, Location, get, serialize
from tfp_iaf.bijectors.maps.spline import Spline

__all__ = ["Affine", "ElementwiseMap", "FromBijector", "Gated", "Location", "MapLike", "Monotone", "Spline", "get", "serialize"]
