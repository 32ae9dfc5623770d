"""A residual block of two convolutions, for encoders and decoders of images."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfp_iaf._arguments import flag, integer
from tfp_iaf._keras_arguments import identified
from tfp_iaf._types import Identifier, Shape
from tfp_iaf.layers.linear_layer import linear_layer
from tfp_iaf.layers.tracked_layer import TrackedLayer

__all__ = ["ResidualBlock"]


@keras.saving.register_keras_serializable("tfp_iaf")
class ResidualBlock(TrackedLayer):
    """A pre-activation residual block of two 3 x 3 convolutions, which may halve or double the image.

    ```none
    y = shortcut(x) + conv(act(conv(act(x))))
    ```

    With `stride` s the first convolution strides; with `upsample` u the second is the transpose of one that strides. So both
    mostly work on the small image, and a block and its mirror image cost the same. Two other ways to upsample take longer
    on a CPU: a convolution to u^2 times the maps that are then moved to space, and nearest
    neighbours before a convolution.
    The shortcut is the identity if the shapes agree, and otherwise a linear map of s x s patches onto pixels or of pixels onto
    u x u patches.

    Args:
        filters: feature maps of the output, and between the convolutions.
        stride: by how much to divide height and width, rounded up.
        upsample: by how much to multiply height and width.
        weight_norm: whether convolutions are weight-normalized; see `layers.initialize_weight_normalization`.
        activation: as in Keras.
        **kwargs: `name`, `dtype` of `keras.layers.Layer`.

    Input shape: `[B, H, W, C]`. Output shape: `[B, H u/s, W u/s, filters]`.

    Raises:
        ValueError: for sizes that are no positive integers, for a stride and an upsampling at once, for inputs of another rank.

    Source: He et al. 2016, "Identity mappings in deep residual networks", figure 1b; Kingma et al. 2016, the MNIST models.

    >>> import tensorflow as tf
    >>> x = tf.zeros([2, 7, 7, 4])
    >>> ResidualBlock(4)(x).shape, ResidualBlock(8, stride=2)(x).shape, ResidualBlock(8, upsample=2)(x).shape
    (TensorShape([2, 7, 7, 4]), TensorShape([2, 4, 4, 8]), TensorShape([2, 14, 14, 8]))
    """

    def __init__(
        self,
        filters: int,
        stride: int = 1,
        upsample: int = 1,
        weight_norm: bool = True,
        activation: Identifier = "elu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = integer("filters", filters)
        self.stride = integer("stride", stride)
        self.upsample = integer("upsample", upsample)
        if stride > 1 and upsample > 1:
            raise ValueError(f"A block strides or upsamples, not both: got stride {stride} and upsample {upsample}.")
        self.weight_norm = flag("weight_norm", weight_norm)
        self.activation = identified("activation", activation)
        self.first = self._convolution(3, stride=stride, name="first")
        self.second = self._convolution(3, upsample=upsample, name="second")
        self.shortcut: keras.layers.Layer | None = None

    def _convolution(self, kernel_size, stride=1, upsample=1, name=None):
        layer_class = keras.layers.Conv2D if upsample == 1 else keras.layers.Conv2DTranspose
        strides = max(stride, upsample)
        return linear_layer(
            layer_class,
            self.filters,
            kernel_size,
            strides,
            "same",
            weight_norm=self.weight_norm,
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, input_shape: Shape) -> None:
        if len(input_shape) != 4:
            raise ValueError(f"A residual block takes images [batch, height, width, channels], got shape {tuple(input_shape)}.")
        self.first.build(input_shape)
        self.second.build(self.first.compute_output_shape(input_shape))
        if input_shape[-1] != self.filters or self.stride > 1 or self.upsample > 1:
            patch = max(self.stride, self.upsample)
            self.shortcut = self._convolution(patch, self.stride, self.upsample, name="shortcut")
            self.shortcut.build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        residual = self.second(self.activation(self.first(self.activation(x))))
        return residual + (x if self.shortcut is None else self.shortcut(x))

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
        batch, *size, _ = input_shape
        return (batch, *(n if n is None else -(-n // self.stride) * self.upsample for n in size), self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "stride": self.stride,
            "upsample": self.upsample,
            "weight_norm": self.weight_norm,
            "activation": keras.activations.serialize(self.activation),
        }
