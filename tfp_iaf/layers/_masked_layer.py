"""What the masked linear layers share: degrees, arguments, a bias, and inputs of any number of leading axes."""

import keras
import numpy as np
import tensorflow as tf

__all__ = ["MaskedLayer"]


class MaskedLayer(keras.layers.Layer):
    """`product(x, kernel * mask) + bias`; a subclass defines `product` and, in `build`, its kernels.

    Args:
        in_degrees: [I] integers, the degrees of the inputs' last axis.
        out_degrees: [O] integers, the degrees of the outputs' last axis.
        strict, use_bias, kernel_initializer, bias_initializer, kernel_regularizer: see `MaskedDense`.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.
    """

    # The number of axes that `product` takes, the batch included.
    product_ndims = 2

    def __init__(
        self,
        in_degrees,
        out_degrees,
        strict,
        use_bias,
        kernel_initializer,
        bias_initializer,
        kernel_regularizer,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.in_degrees = np.asarray(in_degrees)
        self.out_degrees = np.asarray(out_degrees)
        self.strict = strict
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape=None):
        del input_shape  # The degrees say it.
        self.bias = None
        if self.use_bias:
            self.bias = self.add_variable(name="bias", shape=(len(self.out_degrees),), initializer=self.bias_initializer)

    def add_variable(self, **kwargs):
        """A weight that is cast where it is used: an inverse may read it inside a layer of another precision."""
        return self.add_weight(autocast=False, **kwargs)

    def product(self, x):
        """The product of `x`, `[B, ..., I]` with `product_ndims` axes, with the masked kernel."""
        raise NotImplementedError

    def call(self, x):
        x = tf.convert_to_tensor(x)
        rows = x
        if x.shape.rank != self.product_ndims:
            # One leading axis: with more, TensorFlow would repeat the kernel for each leading index.
            axes = tf.shape(x)[1 - self.product_ndims : -1]
            rows = tf.reshape(x, tf.concat([[-1], axes, [len(self.in_degrees)]], axis=0))
        outputs = self.product(tf.ensure_shape(rows, [None] * (self.product_ndims - 1) + [len(self.in_degrees)]))
        if x.shape.rank != self.product_ndims:
            outputs = tf.reshape(outputs, tf.concat([tf.shape(x)[:-1], [len(self.out_degrees)]], axis=0))
            outputs = tf.ensure_shape(outputs, x.shape[:-1].concatenate(len(self.out_degrees)))
        return outputs if self.bias is None else outputs + tf.cast(tf.convert_to_tensor(self.bias), outputs.dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], len(self.out_degrees))

    def get_config(self):
        return {
            **super().get_config(),
            "in_degrees": self.in_degrees.tolist(),
            "out_degrees": self.out_degrees.tolist(),
            "strict": self.strict,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }
