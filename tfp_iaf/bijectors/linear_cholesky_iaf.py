"""The linear inverse autoregressive flow: from a diagonal to a full covariance."""

from __future__ import annotations

import math

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf._types import TensorLike
from tfp_iaf.bijectors._vector_flow import captured_parameters, vector_event
from tfp_iaf.bijectors.base import FlowBijector

__all__ = ["LinearCholeskyIAF"]


class LinearCholeskyIAF(FlowBijector, tfp.bijectors.AutoCompositeTensorBijector):
    """z = L y with L unit lower triangular: forward one product, inverse one triangular solve, log|det dz/dy| = 0.

    Applied to a diagonal Gaussian sample y it gives a Gaussian of full covariance L diag(sigma^2) L', of the density of y.

    Args:
        off_diagonal: `[..., D (D - 1) / 2]`, the entries of L below its diagonal, in the order of
            `tfp.math.fill_triangular`; of a given L, `tfp.math.fill_triangular_inverse(tf.linalg.band_part(L[..., 1:, :-1],
            -1, 0))`. Its leading dimensions become the bijector's batch shape. A variable is read with each call.
        validate_args: as in `tfb.Bijector`.
        name: as in `tfb.Bijector`.

    Shapes: y and z `[..., D]`; log_det `[...]`.

    Raises:
        ValueError: if the last dimension of `off_diagonal` is not D (D - 1) / 2 for any D >= 2, or an event's is not D.

    Source: Kingma et al. 2016, first version, section 4.1.

    >>> flow = LinearCholeskyIAF(tf.constant([0.5]))
    >>> flow.forward(tf.constant([1.0, 2.0])).numpy()
    array([1. , 2.5], dtype=float32)
    >>> flow.forward_log_det_jacobian(tf.constant([1.0, 2.0])).numpy().item()
    0.0
    """

    def __init__(self, off_diagonal: TensorLike, validate_args: bool = False, name: str = "linear_cholesky_iaf") -> None:
        parameters = dict(locals())
        with self._scope(name, validate_args) as name:
            self._off_diagonal = captured_parameters("LinearCholeskyIAF", off_diagonal=off_diagonal)[0]
            self._event_size = _event_size(self._off_diagonal.shape)
            super().__init__(
                forward_min_event_ndims=1,
                dtype=self._off_diagonal.dtype,
                validate_args=validate_args,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(cls, dtype):
        return {"off_diagonal": tfp.util.ParameterProperties(event_ndims=1)}

    @property
    def is_constant_jacobian(self) -> bool:
        return True

    @property
    def off_diagonal(self) -> TensorLike:
        return self._off_diagonal

    def cholesky(self) -> tf.Tensor:
        """L, `[..., D, D]`, with ones on the diagonal."""
        strictly_lower = tfp.math.fill_triangular(tf.convert_to_tensor(self._off_diagonal))
        padding = [[0, 0]] * (strictly_lower.shape.rank - 2) + [[1, 0], [0, 1]]
        strictly_lower = tf.pad(strictly_lower, padding)
        return tf.linalg.set_diag(strictly_lower, tf.ones_like(strictly_lower[..., 0]))

    def forward_and_log_det(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        y = vector_event(self, y, self._event_size)
        z = tf.linalg.matvec(self.cholesky(), y)
        return z, tf.zeros_like(z[..., 0])

    def inverse_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        z = vector_event(self, z, self._event_size)
        y = tf.linalg.triangular_solve(self.cholesky(), z[..., tf.newaxis])[..., 0]
        return y, tf.zeros_like(y[..., 0])


def _event_size(shape):
    size = None if not shape.rank else shape[-1]
    if size is not None:
        # The positive root of D (D - 1) / 2 = size.
        event_size = (1 + math.isqrt(1 + 8 * size)) // 2
        if event_size >= 2 and event_size * (event_size - 1) // 2 == size:
            return event_size
    raise ValueError(f"off_diagonal must have shape [..., D (D - 1) / 2] for a D >= 2 (1, 3, 6, 10, ...), got {tuple(shape)}.")
