"""The masked convolutional network that parametrizes an autoregressive flow over images and feature maps."""

import keras
import numpy as np

from tfp_iaf import masks
from tfp_iaf._arguments import integer
from tfp_iaf.layers.masked_conv import MaskedConv, kernel_size_of
from tfp_iaf.networks._masked_network import MaskedNetwork, widths_of

__all__ = ["ConvAutoregressiveNetwork"]


@keras.saving.register_keras_serializable("tfp_iaf")
class ConvAutoregressiveNetwork(MaskedNetwork):
    """Parameters of each entry of an H x W x C event, as a function of the entries before it and of context feature maps.

    The order is raster order over the pixels, and the channels' order within a pixel. Of the entries before it, an entry's
    parameters depend on those in the receptive field of `len(filters) + 1` masked convolutions. Every hidden layer is
    `activation(conv(x, kernel * mask) + bias)`; the context is added to the first hidden layer through an unmasked 1 x 1
    convolution; the last layer is linear and starts near zero.

    Args:
        params: number of parameters P of each entry.
        event_shape: (H, W, C).
        filters: numbers of feature maps of the hidden layers; empty or None for a linear network. Below C maps some of the
            allowed connections have no path.
        kernel_size: h, or (h, w), of every convolution.
        context_channels: number of the context's feature maps; None for a network without context.
        input_order: "left-to-right" for raster order, "right-to-left" for the same from the last entry to the first.
        activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer: of every `MaskedConv`; the last layer
            keeps its near-zero kernel.
        residual: whether a hidden layer adds its input where the numbers of maps agree.
        weight_norm: whether every masked layer is a `WeightNormalization` of one, which `initialize_weight_normalization`
            starts from data. It has biases, which start at zero; `kernel_regularizer` sees its v.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Input shape: y `[..., H, W, C]`, context `[..., H, W, context_channels]`; their leading dimensions broadcast.
    Output shape: `[..., H, W, C, P]`.

    Raises:
        ValueError: for an unknown order, a wrong event or context shape, a missing or an unexpected context, an integer y.

    Source: Kingma et al. 2016, section 4.2 (first version) and appendix (final version).

    >>> net = ConvAutoregressiveNetwork(params=2, event_shape=(8, 8, 4), filters=(16,), context_channels=16)
    >>> net(np.zeros([3, 8, 8, 4], "float32"), context=np.zeros([3, 8, 8, 16], "float32")).shape
    TensorShape([3, 8, 8, 4, 2])
    """

    def __init__(
        self,
        params,
        event_shape,
        filters=(),
        kernel_size=3,
        context_channels=None,
        input_order="left-to-right",
        activation="elu",
        residual=False,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        weight_norm=False,
        **kwargs,
    ):
        super().__init__(
            params,
            _image_shape(event_shape),
            None if context_channels is None else integer("context_channels", context_channels),
            activation,
            residual,
            weight_norm,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            **kwargs,
        )
        self.filters = widths_of("filters", filters)
        self.kernel_size = kernel_size_of(kernel_size)
        if not isinstance(input_order, str) or input_order not in ("left-to-right", "right-to-left"):
            raise ValueError(f"Unknown input_order {input_order!r}: expected 'left-to-right' or 'right-to-left'.")
        self.input_order = input_order
        # The position 1..D of each entry; within a pixel, its channels' degrees.
        self.degrees = masks.input_degrees(int(np.prod(self.event_shape)), input_order).reshape(self.event_shape)
        channel_degrees = masks.input_degrees(self.event_shape[-1], input_order)
        # A hidden unit of degree 0 sees the pixels before its own.
        self.make_layers(channel_degrees, self.filters, with_degree_zero=True)

    def make_layer(self, in_degrees, out_degrees, strict, **kwargs):
        reverse = self.input_order == "right-to-left"
        return MaskedConv(in_degrees, out_degrees, strict, self.kernel_size, reverse, **kwargs)

    @property
    def context_channels(self):
        return self.context_size

    def get_config(self):
        return {
            **super().get_config(),
            "filters": list(self.filters),
            "kernel_size": list(self.kernel_size),
            "context_channels": self.context_channels,
            "input_order": self.input_order,
        }


def _image_shape(event_shape):
    if not np.iterable(event_shape) or len(event_shape) != 3:
        raise ValueError(f"ConvAutoregressiveNetwork expects event_shape (H, W, C), got {event_shape!r}.")
    return tuple(event_shape)
