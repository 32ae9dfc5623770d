"""Lets `tf.train.Checkpoint` see all weights of a Keras layer."""

import tensorflow as tf

__all__ = ["Checkpointed"]


class Checkpointed(tf.Module):
    """The weights of a built Keras layer, where `tf.train.Checkpoint` finds them: as an attribute of the layer.

    Keras 3 hides from it what a layer keeps in lists, such as its hidden layers; a checkpoint would lack them without a word.

    >>> import keras
    >>> layer = keras.layers.StackedRNNCells([keras.layers.GRUCell(2), keras.layers.GRUCell(2)])
    >>> layer.build((None, 1))
    >>> len(Checkpointed(layer).weights) == len(layer.weights) == 6
    True
    """

    def __init__(self, layer):
        super().__init__()
        self.weights = tuple(layer.weights)
