"""The radial flow."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import scales
from tfp_iaf._types import TensorLike
from tfp_iaf.bijectors._vector_flow import captured_parameters, vector_event
from tfp_iaf.bijectors.base import FlowBijector

__all__ = ["Radial"]


class Radial(FlowBijector, tfp.bijectors.AutoCompositeTensorBijector):
    """z = c + (y - c) (s + r) / (a + r), r = |y - c|: expands or contracts around a center c.

    ```none
    a = softplus_scale(width) > 0;   s = softplus_scale(slope) > 0: near the center y - c is scaled by s / a, far away by 1
    inverse:  r is the positive root of r^2 + (s - r') r - a r' = 0 with r' = |z - c|;   y = c + (z - c) (a + r) / (s + r)
    log|det dz/dy| = (D - 1) log((s + r) / (a + r)) + log((r^2 + 2 a r + a s) / (a + r)^2)
    ```

    This is the paper's z = y + beta (y - c) / (a + r) with beta = s - a > -a: invertible whatever its parameters, with the
    inverse in closed form. It is the identity where `width` equals `slope`.

    Args:
        center: c, `[..., D]`.
        width: `[...]`, unconstrained; `scales.softplus_scale` makes it a.
        slope: `[...]`, unconstrained; `scales.softplus_scale` makes it s.
        validate_args: as in `tfb.Bijector`.
        name: as in `tfb.Bijector`.

    The leading dimensions of the parameters become the bijector's batch shape. A variable is read with each call.

    Shapes: y and z `[..., D]`; log_det `[...]`.

    Raises:
        ValueError: if `center` has no last dimension, dtypes differ, or an event's size is not D.

    Source: Rezende and Mohamed 2015, "Variational inference with normalizing flows", equation 14 and appendix A.2.

    >>> flow = Radial(center=tf.zeros([2]), width=tf.constant(0.0), slope=tf.constant(1.0))
    >>> flow.forward(tf.constant([0.0, 1.0])).numpy().round(3)
    array([0.   , 1.368], dtype=float32)
    >>> flow.inverse(flow.forward(tf.ones([4, 2]))).shape, flow.forward_log_det_jacobian(tf.ones([4, 2])).shape
    (TensorShape([4, 2]), TensorShape([4]))
    """

    def __init__(
        self, center: TensorLike, width: TensorLike, slope: TensorLike, validate_args: bool = False, name: str = "radial"
    ) -> None:
        parameters = dict(locals())
        with self._scope(name, validate_args) as name:
            self._center, self._width, self._slope = captured_parameters("Radial", center=center, width=width, slope=slope)
            shape = self._center.shape
            if not shape.rank or shape[-1] is None:
                raise ValueError(f"Radial expects a center of shape [..., D], got {tuple(shape)}.")
            self._event_size = shape[-1]
            super().__init__(
                forward_min_event_ndims=1,
                dtype=self._center.dtype,
                validate_args=validate_args,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(cls, dtype):
        return {
            "center": tfp.util.ParameterProperties(event_ndims=1),
            "width": tfp.util.ParameterProperties(event_ndims=0),
            "slope": tfp.util.ParameterProperties(event_ndims=0),
        }

    @property
    def center(self) -> TensorLike:
        return self._center

    @property
    def width(self) -> TensorLike:
        return self._width

    @property
    def slope(self) -> TensorLike:
        return self._slope

    def forward_and_log_det(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        center, a, s = self._constrained()
        offset = vector_event(self, y, self._event_size) - center
        r = _norm(offset)
        return center + offset * ((s + r) / (a + r))[..., tf.newaxis], self._log_det(r, a, s)

    def inverse_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        center, a, s = self._constrained()
        offset = vector_event(self, z, self._event_size) - center
        image = _norm(offset)
        b = image - s
        unit = tf.stop_gradient(tf.maximum(image, tf.ones_like(image)))  # In which no square overflows.
        root = unit * tf.sqrt(tf.square(b / unit) + 4.0 * (a / unit) * (image / unit))
        # Of the two forms of the root, the one without cancellation.
        r = tf.where(b > 0.0, 0.5 * (root + b), 2.0 * a * image / (root + tf.abs(b)))
        return center + offset * ((a + r) / (s + r))[..., tf.newaxis], self._log_det(r, a, s)

    def forward_and_score(self, y: tf.Tensor, score: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # dz/dy has the offset as an eigenvector, and one eigenvalue for all that is orthogonal to it.
        center, a, s = self._constrained()
        offset = vector_event(self, y, self._event_size) - center
        r = _norm(offset)
        with tf.GradientTape() as tape:
            tape.watch(r)
            log_det = self._log_det(r, a, s)
        across = (s + r) / (a + r)
        along = tf.exp(log_det - (self._event_size - 1.0) * tf.math.log(across))
        unit = tf.math.divide_no_nan(offset, r[..., tf.newaxis])
        given = score - tape.gradient(log_det, r)[..., tf.newaxis] * unit
        part = tf.reduce_sum(given * unit, axis=-1)
        z = center + offset * across[..., tf.newaxis]
        return z, log_det, given / across[..., tf.newaxis] + (part * (1.0 / along - 1.0 / across))[..., tf.newaxis] * unit

    def _constrained(self):
        width, slope = (scales.softplus_scale(tf.convert_to_tensor(value)) for value in (self._width, self._slope))
        return tf.convert_to_tensor(self._center), width, slope

    def _log_det(self, r, a, s):
        near, far = a / (a + r), r / (a + r)
        across = (self._event_size - 1.0) * tf.math.log((s + r) / (a + r))
        # No term is negative, and none overflows.
        return across + tf.math.log(far * (1.0 + near) + near * s / (a + r))


def _norm(offset):
    """|offset|, whose gradient at 0 is 0."""
    largest = tf.stop_gradient(tf.reduce_max(tf.abs(offset), axis=-1, keepdims=True))
    is_away = largest > 0.0
    unit = tf.where(is_away, largest, tf.ones_like(largest))  # In which no square overflows, and none vanishes.
    squared = tf.reduce_sum(tf.square(offset / unit), axis=-1)
    is_away, unit = is_away[..., 0], unit[..., 0]
    return tf.where(is_away, unit * tf.sqrt(tf.where(is_away, squared, tf.ones_like(squared))), tf.zeros_like(squared))
