"""Keras variables: the TensorFlow variables below them, and what stands around a call that reads them."""

from keras.src.backend.common import global_state, stateless_scope

__all__ = ["in_stateless_scope", "tf_variable", "tf_variables", "training_of_call"]


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


def in_stateless_scope():
    """Whether Keras reads and writes variables through a `keras.StatelessScope` here: a graph traced before would not."""
    return stateless_scope.in_stateless_scope()


def training_of_call():
    """The argument `training` of the Keras call under way, which the layers inside inherit; None without one."""
    context = global_state.get_global_attribute("current_call_ctx")
    return None if context is None else context.training
