"""Inverses by search, and the gradient of what they find."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfp_iaf import _compat
from tfp_iaf.bijectors.inverses.base import Equation, Inverse
from tfp_iaf.bijectors.inverses.sequential import Sequential

__all__ = ["ImplicitInverse", "Linearization"]


class ImplicitInverse(Inverse):
    """An inverse by search, with implicit gradients.

    Let P be the network's derivative d parameters / dy at the solution, strictly triangular, and s = dg / d parameters.
    Gradients v with respect to y and r with respect to the parameters become u = v + P'(s u + r) with respect to g: `adjoint`
    solves that as `solve` solves the equation, and ordinary differentiation does the rest. So gradients do not depend on how
    the solution was found, nothing of the way there is kept, and no loop is differentiated.

    Inside `tf.vectorized_map`, which ignores gradients of one's own, it finds the solution as `Sequential` does.
    """

    has_adjoint = True

    @abc.abstractmethod
    def solve(self, equation: Equation) -> tuple[tf.Tensor, tf.Tensor]:
        """(y, log|det dz/dy|) with y = g(y)."""

    @abc.abstractmethod
    def adjoint(self, equation: Equation, linearization: Linearization, by_y: tf.Tensor, by_parameters: tf.Tensor) -> tf.Tensor:
        """u with u = by_y + P'(s u + by_parameters), of y's shape, at a `Linearization`."""

    def evaluate(self, equation: Equation, y: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """(parameters at y, whatever else `adjoint` needs to know of the network there)."""
        return equation.parameters_at(y), None

    def __call__(self, equation: Equation) -> tuple[tf.Tensor, tf.Tensor]:
        if _compat.in_vectorized_map():
            return Sequential()(equation)
        num_contexts = 0 if equation.context is None else 1

        def with_inputs(z, *others):
            context = others[0] if num_contexts else None
            return Equation(equation.network, equation.map, z, context, others[num_contexts:])

        @_compat.custom_gradient
        def solved(*inputs):
            own = with_inputs(*inputs)
            y, log_det = self.solve(own)

            def gradient(by_y, by_log_det):
                linearization = Linearization(self, own, y, inputs[1:])
                u, by_parameters = linearization.solve(by_y, by_log_det)
                by_others = linearization.pull_back(by_parameters, inputs[1:])
                return [_once(value) for value in (u * tf.exp(-linearization.log_derivatives), *by_others)]

            return (y, log_det), gradient

        try:
            return solved(equation.z, *([equation.context] if num_contexts else []), *equation.values)
        except TypeError as error:
            if "'variables'" not in str(error):
                raise
            raise ValueError(
                f"{equation.network.name}, or the map on it, reads trainable variables that are no weights of the network, and "
                f"{type(self).__name__} has no gradient for them: make them with add_weight of a Network of your own, or take "
                "inverse='sequential'."
            ) from error

    def forward_and_score(self, equation: Equation, y: tf.Tensor, score: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """(z, log-derivatives, the score at z) of a given y and the score there; see `FlowBijector.forward_and_score`.

        With f' the map's derivatives: dz/dy = diag(f') (I - diag(s) P), so one `adjoint` takes the score to z without a search.
        """
        linearization = Linearization(self, equation, y)
        u, _ = linearization.solve(score, -tf.ones(tf.shape(y)[: y.shape.rank - linearization.event_ndims], y.dtype))
        return linearization.z, linearization.log_derivatives, u * tf.exp(-linearization.log_derivatives)


class Linearization:
    """The equation near a y that solves it, recorded from z = f(y; parameters(y)): the map is not inverted.

    Args:
        inverse: an `ImplicitInverse`.
        equation: its `Equation`.
        y: the solution.
        inputs: context and values of the equation, as far as gradients with respect to them are asked for.
    """

    def __init__(self, inverse: ImplicitInverse, equation: Equation, y: tf.Tensor, inputs: Sequence[tf.Tensor] = ()) -> None:
        self.event_ndims = len(equation.network.event_shape)
        self._inverse, self._equation, self._y = inverse, equation, y
        with tf.GradientTape(persistent=True) as self._tape:
            self._tape.watch([y, *inputs])
            self.parameters, self.details = inverse.evaluate(equation, y)
        # The map by itself: derivatives with respect to y at fixed parameters.
        with tf.GradientTape(persistent=True) as self._tape_of_map:
            self._tape_of_map.watch([y, self.parameters])
            self.z, self.log_derivatives = equation.map.forward(y, self.parameters)
        # f(g; parameters) = z, so dg / d parameters = -(df / d parameters) / f'.
        self.parameter_slopes = -self._of_map(self.z, self.parameters, tf.exp(-self.log_derivatives))

    def solve(self, by_y: tf.Tensor, by_log_det: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(u, the gradient with respect to the parameters) of those with respect to y and log_det; see `ImplicitInverse`."""
        by_log_det = tf.reshape(by_log_det, tf.concat([tf.shape(by_log_det), [1] * self.event_ndims], axis=0))
        by_log_derivatives = tf.broadcast_to(by_log_det, tf.shape(self.log_derivatives))
        through_y, by_parameters = self._of_map(self.log_derivatives, [self._y, self.parameters], by_log_derivatives)
        u = self._inverse.adjoint(self._equation, self, by_y + through_y, by_parameters)
        return u, by_parameters + u[..., tf.newaxis] * self.parameter_slopes

    def pull_back(self, by_parameters: tf.Tensor, sources: Any = None) -> Any:
        """P' times this, with P = d parameters / dy; or the gradient with respect to other sources than y."""
        sources = self._y if sources is None else sources
        return self._tape.gradient(self.parameters, sources, by_parameters, unconnected_gradients="zero")

    def _of_map(self, outputs, sources, upstream):
        return self._tape_of_map.gradient(outputs, sources, upstream, unconnected_gradients="zero")


def _once(value):
    message = "An inverse by search has first derivatives only; inverse='sequential' has higher ones."
    return tf.raw_ops.PreventGradient(input=value, message=message)
