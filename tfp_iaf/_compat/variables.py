"""Keras variables: the TensorFlow variables below them, and what stands around a call that reads them."""

import functools

from keras.src.backend.common import global_state, stateless_scope

__all__ = ["call_under_way", "in_stateless_scope", "layers_of", "tf_variable", "tf_variables"]

# Whether Keras reads and writes variables through a `keras.StatelessScope` here: a graph traced before would not.
in_stateless_scope = stateless_scope.in_stateless_scope
# The outermost Keras call here, whose argument `training` the layers inside inherit; None outside of one.
call_under_way = functools.partial(global_state.get_global_attribute, "current_call_ctx")


def tf_variable(variable):
    """The `tf.Variable` that holds the values of a `keras.Variable`.

    Its public `value` is a tensor, and under a mixed policy a cast one; TFP tracks `tf.Variable`s.
    """
    return variable._value


def layers_of(layer):
    """A Keras layer and all layers inside it, those in lists too; models have a public list, of what they call themselves.

    >>> import keras
    >>> model = keras.Sequential([keras.Sequential([keras.layers.Dense(2)])])
    >>> [type(each).__name__ for each in layers_of(model)]
    ['Sequential', 'Sequential', 'Dense']
    """
    return list(layer._flatten_layers())


def tf_variables(layer):
    """The `tf.Variable`s of all weights of a built Keras layer, in the order of `layer.weights`.

    >>> import keras
    >>> layer = keras.layers.Dense(2)
    >>> layer.build((None, 3))
    >>> [tuple(variable.shape) for variable in tf_variables(layer)]
    [(3, 2), (2,)]
    """
    return tuple(tf_variable(weight) for weight in layer.weights)
