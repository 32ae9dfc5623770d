"""The base class of all layers that keep weights in lists: `tf.train.Checkpoint` finds every one of them."""

from __future__ import annotations

import functools
from typing import Any

import keras
import tensorflow as tf

from tfp_iaf._compat import layers_of, tf_variables
from tfp_iaf._keras_arguments import check_layer_arguments

__all__ = ["TrackedLayer"]


class _Weights(tf.Module):
    """Holds weights where `tf.train.Checkpoint` looks for them."""

    def __init__(self, weights):
        super().__init__(name="tracked_weights")
        self.weights = tuple(weights)


class _TFVariables:
    """An attribute that is found once, and then read from the layer's own dictionary without any code."""

    def __get__(self, layer, owner=None):
        if layer is None:
            return self
        variables = tf_variables(layer.weights)
        # While Keras traces a layer that is being built, its variables have no values yet.
        if layer.built and not any(variable is None for variable in variables):
            # Tracked once, for all flows that keep them. Not by `setattr`, which Keras would look through for state.
            layer.__dict__["tf_variables"] = variables = _Weights(variables).weights
        return variables


class TrackedLayer(keras.layers.Layer):
    """A Keras layer whose weights and noise `tf.train.Checkpoint` finds, also those of layers that it keeps in lists.

    Keras 3 hides from TensorFlow what a layer keeps in lists or dictionaries, such as its hidden layers: a checkpoint of a
    plain Keras layer lacks their weights without a word. A subclass of this class need not do anything: what counts is which
    weights the layer has when its `build` is over. Nothing is added to a call.

    Attributes:
        tf_variables: the `tf.Variable`s below `weights`, in the same order, once the layer is built.

    Args:
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    >>> class Stack(TrackedLayer):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layers = [keras.layers.Dense(2), keras.layers.Dense(2)]
    ...
    ...     def build(self, input_shape):
    ...         for layer in self.layers:
    ...             layer.build((None, 2))
    >>> stack = Stack()
    >>> stack.build((None, 2))
    >>> len(stack.tf_variables) == len(stack.weights) == 4
    True
    """

    tf_variables = _TFVariables()

    def __new__(cls, *args: Any, **kwargs: Any) -> TrackedLayer:
        check_layer_arguments(**kwargs)
        layer = super().__new__(cls, *args, **kwargs)
        build = layer.build

        # On the instance, where Keras puts its own wrapper: it runs once, after the `build` of the most derived class.
        @functools.wraps(build)
        def build_and_track(*args, **kwargs):
            build(*args, **kwargs)
            layer.finish_build()

        layer.build = build_and_track
        return layer

    def finish_build(self) -> None:
        """Follows `build`: what layers inside take over, and what `tf.train.Checkpoint` is to find."""
        if not self.trainable:
            # Keras leaves the layers inside as they were made, and passes over `layer.trainable = False` where it is False.
            for each in layers_of(self):
                each.trainable = False
        self._tracked_weights = _Weights(self.variables)  # With the state of the noise, which is no weight.
        self.__dict__.pop("tf_variables", None)
