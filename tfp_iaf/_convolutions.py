"""Convolutions over the places of a series or an image that keep an empty batch empty.

With oneDNN, TensorFlow returns an empty batch with the number of the input's channels.
"""

import keras
import tensorflow as tf

__all__ = ["Conv1D", "Conv2D", "with_channels"]


def with_channels(outputs, inputs, channels):
    """The outputs `[..., *places, channels]` of a convolution that keeps the places of its inputs, an empty batch's too.

    >>> with_channels(tf.zeros([0, 5, 7]), tf.zeros([0, 5, 7]), 4).shape
    TensorShape([0, 5, 4])
    """
    outputs = tf.reshape(outputs, tf.concat([tf.shape(inputs)[:-1], [channels]], axis=0))
    outputs.set_shape(inputs.shape[:-1].concatenate(channels))
    return outputs


class _KeepsPlaces:
    def call(self, inputs):
        outputs = with_channels(self.convolution_op(inputs, self.kernel), inputs, self.filters)
        if self.use_bias:
            outputs += keras.ops.cast(self.bias, outputs.dtype)
        return self.activation(outputs)


class Conv1D(_KeepsPlaces, keras.layers.Conv1D):
    """`keras.layers.Conv1D` with padding "same" and strides of 1.

    >>> Conv1D(4, 3, padding="same")(tf.zeros([0, 5, 7])).shape
    TensorShape([0, 5, 4])
    """


class Conv2D(_KeepsPlaces, keras.layers.Conv2D):
    """`keras.layers.Conv2D` with padding "same" and strides of 1.

    >>> Conv2D(4, 3, padding="same")(tf.zeros([0, 5, 5, 7])).shape
    TensorShape([0, 5, 5, 4])
    """
