"""Reversal of an event's order, between the flows of a chain."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf._arguments import integer
from tfp_iaf.bijectors.base import FlowBijector

__all__ = ["ReverseOrder"]


class ReverseOrder(FlowBijector, tfp.bijectors.AutoCompositeTensorBijector):
    """z = y with all event axes reversed: its own inverse, log|det dz/dy| = 0.

    Between two flows of the same input order, it lets the entries that come late in the first flow come early in the second.
    The posteriors alternate the input orders of their networks instead, which costs nothing. (`tfb.Permute` does the same for
    vectors, but a distribution that contains it cannot be sliced.)

    Args:
        event_ndims: number of trailing axes that form the event; 3 for H x W x C reverses raster and channel order.
        validate_args: as in `tfb.Bijector`.
        name: as in `tfb.Bijector`.

    Raises:
        ValueError: if `event_ndims` is no positive integer, or an input has fewer dimensions.

    Source: Kingma et al. 2016, final version, algorithm 1 ("the order reversed between steps").

    >>> ReverseOrder().forward(tf.constant([[1.0, 2.0, 3.0]])).numpy()
    array([[3., 2., 1.]], dtype=float32)
    """

    def __init__(self, event_ndims: int = 1, validate_args: bool = False, name: str = "reverse_order") -> None:
        parameters = dict(locals())
        event_ndims = integer("event_ndims", event_ndims)
        with self._scope(name, validate_args) as name:
            self._event_ndims = event_ndims
            super().__init__(forward_min_event_ndims=event_ndims, validate_args=validate_args, parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    @property
    def is_constant_jacobian(self) -> bool:
        return True

    def forward_and_log_det(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        y = tf.convert_to_tensor(y)
        if y.shape.rank is not None and y.shape.rank < self._event_ndims:
            raise ValueError(f"ReverseOrder expects events with {self._event_ndims} axes, got shape {y.shape}.")
        z = tf.reverse(y, axis=range(-self._event_ndims, 0))
        return z, tf.zeros(tf.shape(y)[: -self._event_ndims], y.dtype)

    def inverse_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self.forward_and_log_det(z)
