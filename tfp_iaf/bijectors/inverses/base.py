"""What every exact inverse of an autoregressive step solves, and the gradient of its solution."""

import contextlib

import keras
import tensorflow as tf

from tfp_iaf._compat.custom_gradient import custom_gradient

__all__ = ["Equation", "solution"]


class Equation:
    """y = g(y), where g_i(y) = f^-1(z_i; params_i(y_<i, context)): its solution is the y with f(y; params(y)) = z.

    Args:
        network: the Keras layer that gives the parameters.
        elementwise_map: f, an `elementwise.ElementwiseMap`.
        z: `[..., D]`.
        context: `[..., C]` or None.
        values: tensors, the values of the network's variables.
    """

    def __init__(self, network, elementwise_map, z, context, values):
        self.network = network
        self.map = elementwise_map
        self.z = z
        self.context = context
        self._values = values

    @contextlib.contextmanager
    def weights(self):
        """Inside, the network's variables have the equation's values."""
        with keras.StatelessScope(state_mapping=zip(self.network.weights, self._values)):
            yield

    def parameters_at(self, y):
        with self.weights():
            return tf.cast(self.network(y, context=self.context), y.dtype)

    def evaluate(self, y):
        """(parameters, pre-activations of the hidden layers) at y."""
        with self.weights():
            return self.network.evaluate(y, context=self.context)

    def image(self, parameters):
        """(g, log|det dz/dy|) at the y whose parameters these are."""
        y, log_derivative = self.map.inverse(self.z, parameters)
        return y, tf.reduce_sum(log_derivative, axis=range(-len(self.network.event_shape), 0))


def solution(method, network, elementwise_map, z, context, values):
    """(y, log|det dz/dy|) with implicit gradients.

    With J = dg/dy at the solution, strictly triangular, the gradient v with respect to y becomes u = v + J'u with respect to g:
    the method solves that as it solves the equation, and ordinary differentiation of g does the rest. So gradients do not
    depend on how the solution was found, nothing of the way there is kept, and the loops are never differentiated.

    Args:
        method: a module with `solve(equation)`, `evaluate(equation, y)` and `adjoint(equation, linearization, upstream)`:
            `fixed_point` or `incremental`.
        network, elementwise_map, z, context, values: as in `Equation`; z has the full batch shape.
    """
    num_contexts = 0 if context is None else 1

    def equation_of(z, *others):
        return Equation(network, elementwise_map, z, others[0] if num_contexts else None, others[num_contexts:])

    @custom_gradient
    def solved(*inputs):
        equation = equation_of(*inputs)
        y, log_det = method.solve(equation)

        def gradient(by_y, by_log_det):
            linearization = Linearization(method, equation, y, inputs)
            upstream = by_y + linearization.gradient(linearization.log_det, y, by_log_det)
            u = method.adjoint(equation, linearization, upstream)
            outputs = [linearization.image, linearization.log_det]
            return [_once(value) for value in linearization.gradient(outputs, inputs, [u, by_log_det])]

        return (y, log_det), gradient

    return solved(z, *([] if context is None else [context]), *values)


class Linearization:
    """g and log|det dz/dy| near a solution y, recorded for differentiation."""

    def __init__(self, method, equation, y, inputs):
        self._y = y
        with tf.GradientTape(persistent=True) as self._tape:
            self._tape.watch([y, *inputs])
            self.parameters, self.pre_activations = method.evaluate(equation, y)
            self.image, self.log_det = equation.image(self.parameters)

    def gradient(self, outputs, sources, upstream):
        return self._tape.gradient(outputs, sources, upstream, unconnected_gradients="zero")

    def pull_back(self, u):
        """J'u, with J = dg/dy."""
        return self.gradient(self.image, self._y, u)

    def parameter_slopes(self):
        """dg_i / d parameters_i, `[..., D, P]`."""
        return self.gradient(self.image, self.parameters, tf.ones_like(self.image))


def _once(value):
    message = "An iterative inverse has first derivatives only; inverse='sequential' has higher ones."
    return tf.raw_ops.PreventGradient(input=value, message=message)
