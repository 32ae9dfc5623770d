"""`tf.custom_gradient` without its leak."""

import contextlib
import contextvars
import weakref

import tensorflow as tf
from tensorflow.python.framework import ops

__all__ = ["custom_gradient", "without_gradients"]

_has_gradients: contextvars.ContextVar[bool] = contextvars.ContextVar("has_gradients", default=True)


@contextlib.contextmanager
def without_gradients():
    """Within it, nobody asks for gradients of graphs that are traced, so they hold no guards, which some runtimes do not know.

    >>> with without_gradients():
    ...     cube = tf.function(custom_gradient(lambda x: (x**3, lambda upstream: 3.0 * x**2 * upstream)))
    ...     graph = cube.get_concrete_function(tf.TensorSpec([])).graph
    >>> any(operation.type == "PreventGradient" for operation in graph.get_operations())
    False
    """
    token = _has_gradients.set(False)
    try:
        yield
    finally:
        _has_gradients.reset(token)


def custom_gradient(function):
    """As `tf.custom_gradient`, but a graph that has one can be freed, and where TensorFlow loses the gradient, there is none.

    While a graph is traced, TensorFlow registers the gradient under a new name for good, and with it keeps the graph and all
    variables that it reads. Here the graph keeps the gradient, and the registry a weak reference. The name is read off the
    operation that carries the gradient, so threads that trace at the same time do not disturb each other.

    `tf.vectorized_map` copies the function's operations without that gradient. Theirs would be wrong, and is refused.

    >>> cube = custom_gradient(lambda x: (x**3, lambda upstream: 3.0 * x**2 * upstream))
    >>> x = tf.Variable(2.0)
    >>> with tf.GradientTape() as tape:
    ...     y = cube(x)
    >>> tape.gradient(y, x).numpy().item()
    12.0
    """

    @tf.custom_gradient
    def traced(*args):
        is_guarded = _has_gradients.get() and not tf.executing_eagerly()
        return function(*(map(_without_gradient, args) if is_guarded else args))

    def call(*args):
        outputs = traced(*args)
        if not tf.executing_eagerly():
            operation = tf.nest.flatten(outputs)[0].op
            _weaken(operation.get_attr("_gradient_op_type").decode(), operation.graph)
        return outputs

    return call


def _without_gradient(value):
    message = "tf.vectorized_map loses the gradient of a tf.function that was traced outside of it: call it undecorated."
    return tf.raw_ops.PreventGradient(input=value, message=message)


def _weaken(name, graph):
    entry = ops.gradient_registry._registry[name]
    ((key, gradient),) = ((key, value) for key, value in entry.items() if callable(value))
    graph.add_to_collection("tfp_iaf_gradients", gradient)
    reference = weakref.ref(gradient)
    entry[key] = lambda *args: reference()(*args)
