"""Keras variables: the TensorFlow variables below them, and what stands around a call that reads them."""

import contextlib
import functools

import keras
import tensorflow as tf
from keras.src.backend.common import global_state, stateless_scope

__all__ = [
    "call_under_way",
    "current_values",
    "in_stateless_scope",
    "layers_of",
    "tf_variable",
    "tf_variables",
    "variables_read",
    "with_values",
]

# Whether Keras reads and writes variables through a `keras.StatelessScope` here: a graph traced before would not.
in_stateless_scope = stateless_scope.in_stateless_scope
# The outermost Keras call here, whose argument `training` the layers inside inherit; None outside of one.
call_under_way = functools.partial(global_state.get_global_attribute, "current_call_ctx")


def tf_variable(variable):
    """The `tf.Variable` that holds the values of a `keras.Variable`.

    Its public `value` is a tensor, and under a mixed policy a cast one; TFP tracks `tf.Variable`s.
    """
    return variable._value


def variables_read():
    """The `tf.Variable`s that the graph which is being traced has read so far; none outside of a graph.

    TensorFlow tells of them once the graph is finished, by `ConcreteFunction.variables`.

    >>> variable = tf.Variable(1.0, name="loc")
    >>> @tf.function
    ... def double():
    ...     result = 2.0 * variable
    ...     print([each.name for each in variables_read()])
    ...     return result
    >>> float(double())
    ['loc:0']
    2.0
    """
    return tuple(getattr(tf.compat.v1.get_default_graph(), "_watched_variables", ()))


def layers_of(layer):
    """A Keras layer and all layers inside it, those in lists too; models have a public list, of what they call themselves.

    >>> model = keras.Sequential([keras.Sequential([keras.layers.Dense(2)])])
    >>> [type(each).__name__ for each in layers_of(model)]
    ['Sequential', 'Sequential', 'Dense']
    """
    return list(layer._flatten_layers())


def tf_variables(weights):
    """The `tf.Variable`s of `keras.Variable`s, such as the weights of a built layer.

    >>> layer = keras.layers.Dense(2)
    >>> layer.build((None, 3))
    >>> [tuple(variable.shape) for variable in tf_variables(layer.weights)]
    [(3, 2), (2,)]
    """
    return tuple(tf_variable(weight) for weight in weights)


def current_values(weights):
    """The values of `keras.Variable`s as tensors of their own dtypes: those of a `keras.StatelessScope` that is active here.

    >>> weight = keras.Variable(1.0)
    >>> with keras.StatelessScope(state_mapping=[(weight, tf.constant(2.0))]):
    ...     print(current_values([weight])[0].numpy())
    2.0
    """
    scope = stateless_scope.get_stateless_scope() if in_stateless_scope() else None
    values = []
    for weight in weights:
        value = None if scope is None else scope.get_current_value(weight)
        if value is None:
            # While Keras traces a model that is being built, its variables have no values yet; those of Keras answer for them.
            value = weight if tf_variable(weight) is None else tf_variable(weight)
        values.append(tf.convert_to_tensor(value))
    return values


@contextlib.contextmanager
def with_values(layer, values):
    """Inside, a layer's weights have these values, if there are any.

    >>> layer = keras.layers.Dense(1)
    >>> layer.build((None, 1))
    >>> with with_values(layer, [tf.constant([[2.0]]), tf.constant([1.0])]):
    ...     print(layer(tf.ones([1, 1])).numpy())
    [[3.]]
    """
    if not values:
        yield
        return
    with keras.StatelessScope(state_mapping=zip(layer.weights, values)):
        yield
