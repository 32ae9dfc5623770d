"""The TensorFlow variables below Keras variables."""

__all__ = ["tf_variables"]


def tf_variables(layer):
    """The `tf.Variable`s below the weights of a Keras layer, in the order of `layer.weights`.

    Private API: `keras.Variable._value`. The public `value` is a cast copy inside an autocast scope, and TensorFlow
    Probability, `tf.train.Checkpoint` and gradient tapes need the variable itself. While Keras traces a layer that is being
    built, its variables have no value yet: those are left out.

    >>> import keras
    >>> layer = keras.layers.Dense(2)
    >>> layer.build((None, 3))
    >>> [variable.shape.as_list() for variable in tf_variables(layer)]
    [[3, 2], [2]]
    """
    return tuple(weight._value for weight in layer.weights if weight._value is not None)
