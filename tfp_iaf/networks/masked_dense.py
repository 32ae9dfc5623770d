"""A dense layer whose connections follow the degrees of its inputs and outputs."""

import keras
import numpy as np

from tfp_iaf import masks

__all__ = ["MaskedDense"]


@keras.saving.register_keras_serializable("tfp_iaf")
class MaskedDense(keras.layers.Layer):
    """`x @ (kernel * mask) + bias`, with `mask = masks.degree_mask(in_degrees, out_degrees, strict)`.

    The mask acts in the forward pass, so whatever an optimizer, a norm clip or a load writes into the kernel, no
    forbidden connection can open (MADE, Germain et al. 2015, equation 9).

    Args:
        in_degrees: [I] integers, the degrees of the inputs.
        out_degrees: [O] integers, the degrees of the outputs.
        strict: whether an output reads only inputs of lower degree, or also of its own.
        use_bias, kernel_initializer, bias_initializer, kernel_regularizer: as in `keras.layers.Dense`.

    Input shape: `[..., I]`. Output shape: `[..., O]`.

    >>> layer = MaskedDense([1, 2, 3], [1, 2, 3], strict=True, kernel_initializer="ones")
    >>> layer(np.ones([1, 3], "float32")).numpy()
    array([[0., 1., 2.]], dtype=float32)
    """

    def __init__(
        self,
        in_degrees,
        out_degrees,
        strict=False,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
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
        self.mask = masks.degree_mask(self.in_degrees, self.out_degrees, strict)

    def build(self, input_shape=None):
        del input_shape  # The degrees say it.
        self.kernel = self.add_weight(
            name="kernel",
            shape=self.mask.shape,
            initializer=self._masked_initializer,
            regularizer=self.kernel_regularizer,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(len(self.out_degrees),), initializer=self.bias_initializer)

    def _masked_initializer(self, shape, dtype=None):
        # Forbidden entries start at zero and get no gradient: regularizers and weight decay then leave them out.
        return self.kernel_initializer(shape, dtype=dtype) * keras.ops.cast(self.mask, dtype)

    def call(self, x):
        kernel = keras.ops.multiply(self.kernel, keras.ops.cast(self.mask, self.compute_dtype))
        outputs = keras.ops.matmul(x, kernel)
        return outputs if self.bias is None else outputs + self.bias

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
