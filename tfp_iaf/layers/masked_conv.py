"""A convolution whose connections follow raster order over the pixels and the channels' degrees within a pixel."""

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import masks
from tfp_iaf._arguments import integer
from tfp_iaf.layers._masked_layer import MaskedLayer

__all__ = ["MaskedConv"]


@keras.saving.register_keras_serializable("tfp_iaf")
class MaskedConv(MaskedLayer):
    """`conv(x, kernel * mask) + bias` with `mask = masks.conv_mask(kernel_size, in_degrees, out_degrees, strict)`.

    The output has the input's height and width. A pixel reads the pixels before it in raster order, and of its own the
    channels that the degrees allow. The mask acts in the forward pass, as in `MaskedDense`. The rows of the kernel that the
    order forbids whole are neither kept nor multiplied: of three, two are left.

    Args:
        in_degrees: [I] integers, the degrees of the input's channels.
        out_degrees: [O] integers, the degrees of the output's channels.
        strict: whether a channel reads, of its own pixel, only channels of lower degree, or also of its own.
        kernel_size: h, or (h, w), of the kernel before its rows are cropped.
        reverse: whether raster order runs backwards, from the last row's end.
        use_bias, kernel_initializer, bias_initializer, kernel_regularizer: as in `keras.layers.Conv2D`.

    Input shape: `[..., H, W, I]`. Output shape: `[..., H, W, O]`.

    Raises:
        ValueError: if `kernel_size` is neither a positive integer nor two.

    Source: Kingma et al. 2016, section 4.2; van den Oord et al. 2016, section 3.4.

    >>> layer = MaskedConv([1], [1], strict=True, kernel_initializer="ones")
    >>> layer(np.ones([1, 2, 3, 1], "float32")).numpy()[0, ..., 0]
    array([[0., 1., 1.],
           [2., 4., 3.]], dtype=float32)
    """

    product_ndims = 4

    def __init__(
        self,
        in_degrees,
        out_degrees,
        strict=False,
        kernel_size=3,
        reverse=False,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        **kwargs,
    ):
        super().__init__(
            in_degrees,
            out_degrees,
            strict,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            **kwargs,
        )
        self.kernel_size = kernel_size_of(kernel_size)
        self.reverse = reverse
        mask = masks.conv_mask(self.kernel_size, self.in_degrees, self.out_degrees, strict)
        height, width = self.kernel_size
        rows, columns = [height // 2, 0], [width // 2, (width - 1) // 2]
        if reverse:
            mask, rows, columns = mask[::-1, ::-1], rows[::-1], columns[::-1]
        self._mask = mask.astype(np.float32)
        self._padding = [[0, 0], rows, columns, [0, 0]]

    def build(self, input_shape=None):
        self._kernel = self.add_variable(
            name="kernel", shape=self._mask.shape, initializer=self._initial_kernel, regularizer=self.kernel_regularizer
        )
        super().build(input_shape)

    def _initial_kernel(self, shape, dtype=None):
        # Forbidden entries start at zero and get no gradient: regularizers and weight decay then leave them out.
        return self.kernel_initializer(shape, dtype=dtype) * keras.ops.cast(self._mask, dtype)

    @property
    def kernel(self):
        """The masked kernel, `[h // 2 + 1, w, I, O]`."""
        kernel = tf.convert_to_tensor(self._kernel)
        return kernel * tf.constant(self._mask, kernel.dtype)

    def product(self, x):
        # Padded beforehand: the gradient of a convolution that pads one side takes half as long again on a CPU.
        kernel = tf.cast(self.kernel, x.dtype)
        return tf.nn.conv2d(tf.pad(x, self._padding), kernel, strides=1, padding="VALID")

    def get_config(self):
        return {**super().get_config(), "kernel_size": list(self.kernel_size), "reverse": self.reverse}


def kernel_size_of(value):
    """(h, w) of h or (h, w)."""
    sizes = tuple(value) if np.iterable(value) else (value, value)
    if len(sizes) != 2:
        raise ValueError(f"kernel_size must be a positive integer or two of them, got {value!r}.")
    return tuple(integer("kernel_size", size) for size in sizes)
