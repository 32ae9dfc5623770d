"""The planar flow."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import scales
from tfp_iaf._types import TensorLike
from tfp_iaf.bijectors._tanh_root import log_slope, log_slope_gradient, sech_squared, tanh_root
from tfp_iaf.bijectors._vector_flow import captured_parameters, vector_event
from tfp_iaf.bijectors.base import FlowBijector

__all__ = ["Planar"]


class Planar(FlowBijector, tfp.bijectors.AutoCompositeTensorBijector):
    """z = y + v tanh(w'y + b): moves y along one direction, by an amount that depends on y along another.

    ```none
    v = u + (m(w'u) - w'u) w / |w|^2,   m(x) = scales.softplus_slope(x) - 1;   so w'v = m(w'u) > -1, and v = u where w = 0
    forward:    a = w'y + b;   z = y + v tanh(a)
    inverse:    the a with a + m(w'u) tanh(a) = w'z + b, a scalar root;   y = z - v tanh(a)
    log|det dz/dy| = log(tanh^2 a + (1 + m(w'u)) sech^2 a)
    ```

    It is invertible whatever its parameters, with slopes of at least 1e-3, and the identity at u = 0. (The paper has
    m(x) = softplus(x) - 1, whose slopes fall to 0, where float32 loses the density; with it, v grows without bound as w goes
    to 0.)

    Args:
        u: `[..., D]`.
        w: `[..., D]`.
        b: `[...]`.
        validate_args: as in `tfb.Bijector`.
        name: as in `tfb.Bijector`.

    The leading dimensions of the parameters become the bijector's batch shape. A variable is read with each call.

    Shapes: y and z `[..., D]`; log_det `[...]`.

    Raises:
        ValueError: if u and w differ in their last dimension, dtypes differ, or an event's size is not D.

    Source: Rezende and Mohamed 2015, "Variational inference with normalizing flows", equations 10-12 and appendix A.1 (with
    the norm squared).

    >>> flow = Planar(u=tf.constant([1.0, 0.0]), w=tf.constant([2.0, 1.0]), b=tf.constant(0.5))
    >>> y = tf.constant([[0.3, -1.0], [2.0, 1.0]])
    >>> bool(np.allclose(flow.inverse(tf.identity(flow.forward(y))), y, atol=1e-5))
    True
    >>> flow.forward_log_det_jacobian(y).shape
    TensorShape([2])
    """

    def __init__(self, u: TensorLike, w: TensorLike, b: TensorLike, validate_args: bool = False, name: str = "planar") -> None:
        parameters = dict(locals())
        with self._scope(name, validate_args) as name:
            self._u, self._w, self._b = captured_parameters("Planar", u=u, w=w, b=b)
            self._event_size = _event_size(self._u.shape, self._w.shape)
            self._constraint: tuple[tf.Tensor, ...] | None = None
            super().__init__(
                forward_min_event_ndims=1, dtype=self._u.dtype, validate_args=validate_args, parameters=parameters, name=name
            )

    @classmethod
    def unstack(cls, u: TensorLike, w: TensorLike, b: TensorLike) -> list[Planar]:
        """The K flows of parameters u and w `[..., K, D]` and b `[..., K]`.

        As making each by itself, but v and w'v of all flows are computed at once: that is most of the operations of a flow.

        Raises:
            ValueError: for variables, whose updates the flows would not see.

        >>> flows = Planar.unstack(u=tf.zeros([5, 10, 2]), w=tf.ones([5, 10, 2]), b=tf.zeros([5, 10]))
        >>> len(flows), flows[0].u.shape
        (10, TensorShape([5, 2]))
        """
        for name, value in {"u": u, "w": w, "b": b}.items():
            if isinstance(value, tf.Variable | tfp.util.DeferredTensor | keras.Variable):
                raise ValueError(
                    f"Planar.unstack takes tensors, got a variable for {name}, whose updates its flows would not see: make "
                    "each flow by itself."
                )
        every = cls(u, w, b)
        constraints = zip(*(tf.unstack(value, axis=axis) for value, axis in zip(every._constrained(), (-2, -1, -2, -1))))
        flows = []
        for u, constraint in zip(tf.unstack(every.u, axis=-2), constraints):
            flow = cls(u, *constraint[:2])
            flow._constraint = constraint
            flows.append(flow)
        return flows

    @classmethod
    def _parameter_properties(cls, dtype):
        return {
            "u": tfp.util.ParameterProperties(event_ndims=1),
            "w": tfp.util.ParameterProperties(event_ndims=1),
            "b": tfp.util.ParameterProperties(event_ndims=0),
        }

    @property
    def u(self) -> TensorLike:
        return self._u

    @property
    def w(self) -> TensorLike:
        return self._w

    @property
    def b(self) -> TensorLike:
        return self._b

    def forward_and_log_det(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        y = vector_event(self, y, self._event_size)
        w, b, v, slope = self._constrained()
        a = tf.reduce_sum(w * y, axis=-1) + b
        return y + v * tf.tanh(a)[..., tf.newaxis], log_slope(a, slope)

    def inverse_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        z = vector_event(self, z, self._event_size)
        w, b, v, slope = self._constrained()
        a = tanh_root(tf.reduce_sum(w * z, axis=-1) + b, slope)
        return z - v * tf.tanh(a)[..., tf.newaxis], log_slope(a, slope)

    def forward_and_score(self, y: tf.Tensor, score: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # By the formula of Sherman and Morrison for the inverse of dz/dy = I + v w' sech^2 a: no root is searched.
        y = vector_event(self, y, self._event_size)
        w, b, v, slope = self._constrained()
        a = tf.reduce_sum(w * y, axis=-1) + b
        log_det = log_slope(a, slope)
        given = tf.stop_gradient(score) - log_slope_gradient(a, slope)[..., tf.newaxis] * w
        along = tf.reduce_sum(v * given, axis=-1) * sech_squared(a) * tf.exp(-log_det)
        return y + v * tf.tanh(a)[..., tf.newaxis], log_det, given - along[..., tf.newaxis] * w

    def _constrained(self):
        """(w, b, v, 1 + w'v)."""
        if self._constraint is not None:
            return self._constraint
        u, w, b = (tf.convert_to_tensor(value) for value in (self._u, self._w, self._b))
        x = tf.reduce_sum(w * u, axis=-1)
        # Where |w|^2 is 0 to rounding, w'y and so a do not depend on y.
        largest = tf.stop_gradient(tf.reduce_max(tf.abs(w), axis=-1))
        has_norm = largest + tf.zeros_like(x) > np.finfo(w.dtype.as_numpy_dtype).tiny ** 0.5
        # In a unit in which neither |w|^2 nor its square, which is in the gradient, leaves the range of numbers.
        unit = tf.where(has_norm, largest + tf.zeros_like(x), tf.ones_like(x))[..., tf.newaxis]
        direction = tf.where(has_norm[..., tf.newaxis], w / unit, tf.ones_like(w / unit))
        direction = direction / tf.reduce_sum(tf.square(direction), axis=-1, keepdims=True) / unit
        # softplus(x + log(e - 1)) - 1 - x = log(1 + (exp(-x) - 1) / e) is exact near 0; in the other form m(x) - x does not
        # overflow.
        is_near = x > -1.0
        near = tf.math.log1p(tf.math.expm1(-tf.maximum(x, -1.0)) / math.e)
        near = near - scales.SMALLEST_SLOPE * (near + x)
        slope = scales.softplus_slope(x)
        change = tf.where(is_near, near, slope - 1.0 - x)
        v = u + tf.where(has_norm, change, tf.zeros_like(x))[..., tf.newaxis] * direction
        return w, b, v, tf.where(has_norm, slope, tf.ones_like(x))


def _event_size(u_shape, w_shape):
    sizes = [shape[-1] if shape.rank else None for shape in (u_shape, w_shape)]
    if sizes[0] is None or sizes[0] != sizes[1]:
        raise ValueError(f"Planar expects u and w of shape [..., D] with one D, got {tuple(u_shape)} and {tuple(w_shape)}.")
    return sizes[0]
