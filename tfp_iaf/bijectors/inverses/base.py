"""What every inverse of an autoregressive flow solves, and the gradient of its solution."""

import abc
import contextlib

import keras
import tensorflow as tf

from tfp_iaf import _compat

__all__ = ["Equation", "ImplicitInverse", "Inverse", "Linearization"]


class Equation:
    """y = g(y), where g_i(y) = f^-1(z_i; parameters_i(y_<i, context)): its solution is the y with f(y; parameters(y)) = z.

    Args:
        network: the `networks.Network` that gives the parameters.
        elementwise_map: f, a `maps.ElementwiseMap`.
        z: `[..., *event]`, with the full batch shape; None where y is known.
        context: a tensor, or None.
        values: tensors, the values of the network's weights; None for the weights themselves.
    """

    def __init__(self, network, elementwise_map, z, context, values):
        self.network = network
        self.map = elementwise_map
        self.z = z
        self.context = context
        self.values = values

    @contextlib.contextmanager
    def weights(self):
        """Inside, the network's weights have the equation's values."""
        if self.values is None:
            yield
            return
        with keras.StatelessScope(state_mapping=zip(self.network.weights, self.values)):
            yield

    def parameters_at(self, y):
        """The network's parameters at y, in y's dtype."""
        with self.weights():
            return tf.cast(self.network(y, context=self.context), y.dtype)

    def image(self, parameters):
        """(g, log|det dz/dy|) at the y whose parameters these are."""
        y, log_derivative = self.map.inverse(self.z, parameters)
        return y, tf.reduce_sum(log_derivative, axis=range(-len(self.network.event_shape), 0))


class Inverse(abc.ABC):
    """Finds the y with f(y; network(y, context)) = z: what a user writes to bring an inverse of their own.

    A subclass defines `__call__`. Gradients are those of what it computes; see `ImplicitInverse` for searches.
    """

    @classmethod
    def serves(cls, network):
        """Whether this inverse works for a network of a kind that lists it, as the network is set up."""
        del network
        return True

    @abc.abstractmethod
    def __call__(self, equation):
        """(y, log|det dz/dy| at y) of an `Equation`."""


class ImplicitInverse(Inverse):
    """An inverse by search, with implicit gradients.

    With J = dg/dy at the solution, strictly triangular, the gradient v with respect to y becomes u = v + J'u with respect to g:
    `adjoint` solves that as `solve` solves the equation, and ordinary differentiation of g does the rest. So gradients do not
    depend on how the solution was found, nothing of the way there is kept, and no loop is differentiated.
    """

    @abc.abstractmethod
    def solve(self, equation):
        """(y, log|det dz/dy|) with y = g(y)."""

    @abc.abstractmethod
    def adjoint(self, equation, linearization, upstream):
        """u with u = upstream + J'u, of y's shape, at a `Linearization`."""

    def evaluate(self, equation, y):
        """(parameters at y, whatever else `adjoint` needs to know of the network there)."""
        return equation.parameters_at(y), None

    def __call__(self, equation):
        num_contexts = 0 if equation.context is None else 1

        def with_inputs(z, *others):
            context = others[0] if num_contexts else None
            return Equation(equation.network, equation.map, z, context, others[num_contexts:])

        @_compat.custom_gradient
        def solved(*inputs):
            own = with_inputs(*inputs)
            y, log_det = self.solve(own)

            def gradient(by_y, by_log_det):
                linearization = Linearization(self, own, y, inputs)
                upstream = by_y + linearization.gradient(linearization.log_det, y, by_log_det)
                u = self.adjoint(own, linearization, upstream)
                outputs = [linearization.image, linearization.log_det]
                return [_once(value) for value in linearization.gradient(outputs, inputs, [u, by_log_det])]

            return (y, log_det), gradient

        return solved(equation.z, *([equation.context] if num_contexts else []), *equation.values)

    def forward_and_score(self, equation, y, score):
        """(z, log-derivatives, the score at z) of a given y and the score there; see `FlowBijector.forward_and_score`.

        With f' the map's derivatives and J = dg/dy: dz/dy = diag(f') (I - J), so one `adjoint` takes the score to z without a
        search.
        """
        linearization = ForwardLinearization(self, equation, y)
        z, log_derivatives = linearization.z, linearization.log_derivatives
        by_y = linearization.gradient(log_derivatives, y, tf.ones_like(log_derivatives))
        u = self.adjoint(equation, linearization, score - by_y)
        return z, log_derivatives, u * tf.exp(-log_derivatives)


class Linearization:
    """g and log|det dz/dy| near a solution y, recorded for differentiation."""

    def __init__(self, inverse, equation, y, inputs):
        self._y = y
        with tf.GradientTape(persistent=True) as self._tape:
            self._tape.watch([y, *inputs])
            self.parameters, self.details = inverse.evaluate(equation, y)
            self.image, self.log_det = equation.image(self.parameters)

    def gradient(self, outputs, sources, upstream):
        return self._tape.gradient(outputs, sources, upstream, unconnected_gradients="zero")

    def pull_back(self, u):
        """J'u, with J = dg/dy."""
        return self.gradient(self.image, self._y, u)

    def parameter_slopes(self):
        """dg_i / d parameters_i, `[..., *event, P]`."""
        return self.gradient(self.image, self.parameters, tf.ones_like(self.image))


class ForwardLinearization(Linearization):
    """g near a given y, recorded from z = f(y; parameters(y)): the map is not inverted."""

    def __init__(self, inverse, equation, y):
        self._y = y
        with tf.GradientTape(persistent=True) as self._tape:
            self._tape.watch(y)
            self.parameters, self.details = inverse.evaluate(equation, y)
            self.z, self.log_derivatives = equation.map.forward(y, self.parameters)
        # f(g; parameters) = z, so dg/d parameters = -(df/d parameters) / f'.
        slopes = self.gradient(self.z, self.parameters, tf.exp(-self.log_derivatives))
        self._parameter_slopes = -slopes

    def pull_back(self, u):
        return self.gradient(self.parameters, self._y, u[..., tf.newaxis] * self._parameter_slopes)

    def parameter_slopes(self):
        return self._parameter_slopes


def _once(value):
    message = "An inverse by search has first derivatives only; inverse='sequential' has higher ones."
    return tf.raw_ops.PreventGradient(input=value, message=message)
