"""Keras variables: the TensorFlow variables below them, and whether something stands in their place."""

from keras.src.backend.common import stateless_scope

__all__ = ["in_stateless_scope", "tf_variable", "tf_variables"]

# Whether Keras reads and writes variables through a `keras.StatelessScope` here: a graph traced before would not.
in_stateless_scope = stateless_scope.in_stateless_scope


def tf_variable(variable):
    """The `tf.Variable` that holds the values of a `keras.Variable`.

    Its public `value` is a tensor, and under a mixed policy a cast one; TFP tracks `tf.Variable`s.
    """
    return variable._value


def tf_variables(layer):
    """The `tf.Variable`s of all weights of a built Keras layer, in the order of `layer.weights`.

    >>> import keras
    >>> layer = keras.layers.Dense(2)
    >>> layer.build((None, 3))
    >>> [tuple(variable.shape) for variable in tf_variables(layer)]
    [(3, 2), (2,)]
    """
    return tuple(tf_variable(weight) for weight in layer.weights)
