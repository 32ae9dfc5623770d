"""Log-scales that depend on the channel alone."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfp_iaf._keras_arguments import check_layer_arguments
from tfp_iaf._types import Shape

__all__ = ["ChannelLogScale"]


@keras.saving.register_keras_serializable("tfp_iaf")
class ChannelLogScale(keras.layers.Layer):
    """Appends one learned log-scale per channel to a decoder's locations: the end of a decoder for "discretized_logistic".

    Input shape: `[B, ..., C]`, for images `[B, H, W, C]`. Output shape: `[B, ..., 2 C]`, the input and then the log-scales,
    the same at every place. They are the likelihood's unconstrained parameters and start at 0.

    Args:
        **kwargs: `name`, `dtype` of `keras.layers.Layer`.

    Raises:
        ValueError: for inputs without a channel axis of known size.

    Source: Kingma et al. 2016, the CIFAR-10 model, whose likelihood has a learned scale that does not depend on z.

    >>> import tensorflow as tf
    >>> ChannelLogScale()(tf.zeros([2, 8, 8, 3])).shape
    TensorShape([2, 8, 8, 6])
    """

    def __init__(self, **kwargs: Any) -> None:
        check_layer_arguments(**kwargs)
        super().__init__(**kwargs)

    def build(self, input_shape: Shape) -> None:
        if len(input_shape) < 2 or input_shape[-1] is None:
            raise ValueError(f"ChannelLogScale takes inputs [batch, ..., channels], channels known, got {tuple(input_shape)}.")
        self.log_scale = self.add_weight(name="log_scale", shape=(input_shape[-1],), initializer="zeros")

    def call(self, locations: tf.Tensor) -> tf.Tensor:
        log_scales = keras.ops.broadcast_to(keras.ops.cast(self.log_scale, locations.dtype), keras.ops.shape(locations))
        return keras.ops.concatenate([locations, log_scales], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
        return (*input_shape[:-1], 2 * input_shape[-1])
