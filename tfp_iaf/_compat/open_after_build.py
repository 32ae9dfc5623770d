"""Models that take layers after they are built."""

import keras

__all__ = ["OpenAfterBuild"]


class OpenAfterBuild(keras.Model):
    """A model that its own constructor builds, and that a subclass adds layers and weights to all the same.

    Keras closes a model when it is built, except for those made of inputs and outputs and `keras.Sequential`.

    >>> class Model(OpenAfterBuild):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.build((None, 2))
    ...
    ...     def build(self, input_shape):
    ...         self.built = True
    >>> model = Model()
    >>> model.head = keras.layers.Dense(3)
    >>> len(model.layers)
    1
    """

    def _lock_state(self):
        pass
