"""A convolution whose connections follow raster order over the pixels and the channels' degrees within a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfp_iaf import masks
from tfp_iaf._arguments import flag, given, sizes
from tfp_iaf._convolutions import with_channels
from tfp_iaf.layers._masked_layer import MaskedLayer

__all__ = ["MaskedConv"]


@keras.saving.register_keras_serializable("tfp_iaf")
class MaskedConv(MaskedLayer):
    """`conv(x, kernel * mask) + bias` with `mask = masks.conv_mask(kernel_size, in_degrees, out_degrees, strict)`.

    The output has the input's height and width. A pixel reads the pixels before it in raster order, and of its own the
    channels that the degrees allow; a time point of a series reads the time points before it likewise. The mask acts in the
    forward pass, as in `MaskedDense`. Rows of the kernel without an allowed entry are neither kept nor multiplied: of three
    rows, two are left.

    Args:
        in_degrees: [I] integers, the degrees of the input's channels.
        out_degrees: [O] integers, the degrees of the output's channels.
        strict: whether a channel reads, of its own pixel, only channels of lower degree, or also of its own.
        kernel_size: for images h, or (h, w), of the kernel before its rows are cropped; for series (k,), a time point and the
            k - 1 before it.
        reverse: whether the order runs backwards, from the end of the last row.
        use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, kernel_constraint,
            bias_constraint: as in `keras.layers.Conv2D`.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Input shape: `[..., H, W, I]`, or `[..., T, I]` with a `kernel_size` (k,). Output shape: `[..., H, W, O]`, `[..., T, O]`.

    Raises:
        ValueError: if `kernel_size` is neither a positive integer nor one or two of them.

    Source: Kingma et al. 2016, section 4.2; van den Oord et al. 2016, section 3.4.

    >>> layer = MaskedConv([1], [1], strict=True, kernel_initializer="ones")
    >>> layer(np.ones([1, 2, 3, 1], "float32")).numpy()[0, ..., 0]
    array([[0., 1., 1.],
           [2., 4., 3.]], dtype=float32)
    """

    def __init__(
        self,
        in_degrees: npt.ArrayLike,
        out_degrees: npt.ArrayLike,
        strict: bool = False,
        kernel_size: int | Sequence[int] = 3,
        reverse: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_degrees=in_degrees, out_degrees=out_degrees, strict=strict, **kwargs)
        self.kernel_size = sizes("kernel_size", kernel_size) * (1 if np.iterable(kernel_size) else 2)
        if len(self.kernel_size) not in (1, 2):
            raise ValueError(f"kernel_size must be a positive integer or one or two of them, got {given(kernel_size)}.")
        self.reverse = flag("reverse", reverse)
        mask = masks.conv_mask(self.kernel_size, self.in_degrees, self.out_degrees, self.strict)
        if len(self.kernel_size) == 1:
            rows, columns = [0, 0], [self.kernel_size[0] - 1, 0]
        else:
            height, width = self.kernel_size
            rows, columns = [height // 2, 0], [width // 2, (width - 1) // 2]
        if self.reverse:
            mask, rows, columns = np.flip(mask, axis=tuple(range(len(self.kernel_size)))), rows[::-1], columns[::-1]
        self._mask = mask
        self._padding = [[0, 0], rows, columns, [0, 0]]

    @property
    def mask(self) -> np.ndarray:
        return self._mask

    @property
    def kernel(self) -> tf.Tensor:
        """The masked kernel, `[h // 2 + 1, w, I, O]` or `[k, I, O]`."""
        return self.masked(self._kernel, lambda: self._mask, tf.as_dtype(self._kernel.dtype))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        x = tf.convert_to_tensor(x)
        num_axes, num_outputs = len(self.kernel_size), len(self.out_degrees)
        kernel = tf.cast(self.kernel, x.dtype)
        if num_axes == 1:
            # A series is an image of one row.
            kernel = kernel[tf.newaxis]
        images = x
        if x.shape.rank != 4 or num_axes == 1:
            # Read one by one: the rank may be unknown.
            height = 1 if num_axes == 1 else tf.shape(x)[-3]
            images = tf.reshape(x, [-1, height, tf.shape(x)[-2], len(self.in_degrees)])
        # Padded beforehand: the gradient of a convolution that pads one side takes half as long again on a CPU.
        outputs = tf.nn.conv2d(tf.pad(images, self._padding), kernel, strides=1, padding="VALID")
        outputs = with_channels(outputs, x, num_outputs)
        return outputs if self.bias is None else outputs + tf.cast(tf.convert_to_tensor(self.bias), outputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kernel_size": list(self.kernel_size), "reverse": self.reverse}
