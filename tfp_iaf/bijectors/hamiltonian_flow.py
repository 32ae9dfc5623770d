"""The Hamiltonian flow: leapfrog integration, on positions and momenta side by side."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf._arguments import given, integer
from tfp_iaf._tensors import check_batches
from tfp_iaf._types import TensorLike
from tfp_iaf.bijectors._vector_flow import captured_parameters
from tfp_iaf.bijectors.base import FlowBijector

__all__ = ["HamiltonianFlow"]


class HamiltonianFlow(FlowBijector, tfp.bijectors.AutoCompositeTensorBijector):
    """(x, p) -> (x', p') by leapfrogs along a target density; the event is the concatenation of x and the momentum p.

    ```none
    each leapfrog:  p <- p + e/2 grad log target(x);   x <- x + e p;   p <- p + e/2 grad log target(x)
    inverse: the same leapfrogs with -e in place of e (exact, to rounding);   log|det dz/dy| = 0
    ```

    Args:
        target_log_prob_fn: a function `[..., D]` -> `[...]`, an unnormalized log-density, row by row. It is differentiated
            here, so training through the flow takes its second derivatives. Variables that it reads are trained by whoever
            holds them: the bijector does not list them.
        step_size: e, `[]`, `[1]` or `[D]`, or with batch dimensions `[..., 1]` or `[..., D]`; captured, and a variable is read
            with each call. Step sizes per entry play the role of the square root of a diagonal inverse mass matrix.
        num_leapfrog_steps: the number of leapfrogs, each of one gradient (and one more in all).
        validate_args: as in `tfb.Bijector`.
        name: as in `tfb.Bijector`.

    Shapes: y and z `[..., 2 D]`; log_det `[...]`.

    Raises:
        ValueError: if `target_log_prob_fn` is not callable, returns another shape or has no gradient, the number of leapfrogs
            is no positive integer, or events do not fit `step_size` or are of odd size.

    Source: Salimans et al. 2015, "Markov chain Monte Carlo and variational inference: bridging the gap"; Neal 2011,
    "MCMC using Hamiltonian dynamics", section 2.3.

    >>> target = tfp.distributions.MultivariateNormalDiag(tf.zeros([2]), tf.constant([1.0, 2.0]))
    >>> flow = HamiltonianFlow(target.log_prob, step_size=0.1, num_leapfrog_steps=3)
    >>> x_and_p = tf.constant([[1.0, 1.0, 0.0, 0.0]])
    >>> z = flow.forward(x_and_p)
    >>> bool(tf.reduce_max(tf.abs(flow.inverse(tf.identity(z)) - x_and_p)) < 1e-5)
    True
    """

    _reads_unseen = True

    def __init__(
        self,
        target_log_prob_fn: Callable,
        step_size: TensorLike,
        num_leapfrog_steps: int = 1,
        validate_args: bool = False,
        name: str = "hamiltonian_flow",
    ) -> None:
        parameters = dict(locals())
        with self._scope(name, validate_args) as name:
            if not callable(target_log_prob_fn):
                raise ValueError(f"target_log_prob_fn must be a function [..., D] -> [...], got {given(target_log_prob_fn)}.")
            self._target_log_prob_fn = target_log_prob_fn
            (self._step_size,) = captured_parameters("HamiltonianFlow", step_size=step_size)
            self._num_leapfrog_steps = integer("num_leapfrog_steps", num_leapfrog_steps)
            super().__init__(
                forward_min_event_ndims=1,
                dtype=self._step_size.dtype,
                validate_args=validate_args,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(cls, dtype):
        return {"step_size": tfp.util.ParameterProperties(event_ndims=lambda flow, _=None: min(1, flow.step_size.shape.rank))}

    @property
    def target_log_prob_fn(self) -> Callable:
        return self._target_log_prob_fn

    @property
    def step_size(self) -> TensorLike:
        return self._step_size

    @property
    def num_leapfrog_steps(self) -> int:
        return self._num_leapfrog_steps

    def forward_and_log_det(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._leapfrogs(y, tf.convert_to_tensor(self._step_size))

    def inverse_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._leapfrogs(z, -tf.convert_to_tensor(self._step_size))

    def _leapfrogs(self, y, step_size):
        y = tf.convert_to_tensor(self._with_right_dtype(y), self.dtype)
        self._check(y.shape, step_size.shape)
        x, p = tf.split(y, 2, axis=-1)
        p += 0.5 * step_size * self._force(x)
        for leapfrog in range(1, self._num_leapfrog_steps + 1):
            x += step_size * p
            # Two half steps of neighbouring leapfrogs make one whole step.
            p += (0.5 if leapfrog == self._num_leapfrog_steps else 1.0) * step_size * self._force(x)
        return tf.concat([x, p], axis=-1), tf.zeros_like(x[..., 0])

    def _force(self, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            log_prob = tf.convert_to_tensor(self._target_log_prob_fn(x))
        if not log_prob.shape.is_compatible_with(x.shape[:-1]):
            raise ValueError(
                f"target_log_prob_fn must return one number per row, {tuple(x.shape[:-1])} for {tuple(x.shape)}, got "
                f"{tuple(log_prob.shape)}."
            )
        force = tape.gradient(log_prob, x)
        if force is None:
            raise ValueError(
                "target_log_prob_fn has no gradient with respect to the positions: compute it with differentiable operations "
                "of TensorFlow, without NumPy."
            )
        return force

    def _check(self, shape, step_shape):
        if shape.rank is None:
            return
        size = shape[-1] if shape.rank else 1
        if size is not None and (size % 2 or (step_shape.rank and step_shape[-1] not in (None, 1, size // 2))):
            fits = f" and step_size {tuple(step_shape)}" if step_shape.rank else ""
            raise ValueError(f"HamiltonianFlow expects events [..., 2 D] of positions and momenta, got {tuple(shape)}{fits}.")
        check_batches(self.name, {"events": shape[:-1], "step_size": step_shape[:-1]})
