"""The masked convolutional network that parametrizes an autoregressive flow over images, feature maps and time series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tfp_iaf import masks
from tfp_iaf._arguments import choice, given, integer, sizes, widths
from tfp_iaf._types import Identifier, InputOrder
from tfp_iaf.layers import MaskedConv
from tfp_iaf.networks._masked_network import MaskedNetwork

__all__ = ["ConvAutoregressiveNetwork"]


@keras.saving.register_keras_serializable("tfp_iaf")
class ConvAutoregressiveNetwork(MaskedNetwork):
    """Parameters of each entry of an image or a series, as a function of the entries before it and of context feature maps.

    The order of an H x W x C event is raster order over the pixels, and the channels' order within a pixel; that of a T x C
    event is time, and the channels' order within a time point. Of the entries before it, an entry's parameters depend on those
    in the receptive field of `len(filters) + 1` masked convolutions. Every hidden layer is
    `activation(conv(x, kernel * mask) + bias)`; the context is added to the first hidden layer through an unmasked 1 x 1
    convolution; the last layer is linear and starts near zero.

    Args:
        params: number of parameters P of each entry.
        event_shape: (H, W, C), or (T, C).
        filters: numbers of feature maps of the hidden layers; empty or None for a linear network. Below C maps some of the
            allowed connections have no path.
        kernel_size: of every convolution. For images h, or (h, w); for series k: a time point and the k - 1 before it.
        context_channels: number of the context's feature maps; None for a network without context.
        input_order: "left-to-right" for the order above, "right-to-left" for the same from the last entry to the first.
        activation: a Keras activation, by name or as a callable.
        residual: whether a hidden layer adds its input where the numbers of maps agree.
        use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, kernel_constraint,
            bias_constraint: as in `keras.layers.Conv2D`, of every layer; the last keeps its near-zero start.
        weight_norm: whether every masked layer is a `WeightNormalization` of one, which
            `layers.initialize_weight_normalization` starts from data. Biases then are free and start at zero, and regularizer
            and constraint of the kernel act on its v.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Attributes:
        hidden_layers: the masked layers but the last.
        output_layer: the last layer.

    Input shape: y `[..., H, W, C]` or `[..., T, C]`, context likewise with `context_channels`; their leading dimensions
    broadcast.
    Output shape: `[..., H, W, C, P]` or `[..., T, C, P]`.

    Raises:
        ValueError: for an unknown order, a wrong event or context shape, a missing or an unexpected context, batches that do
            not broadcast, an integer y.

    Source: Kingma et al. 2016, section 4.2 (first version) and appendix (final version). For series: van den Oord et al. 2016,
    "WaveNet", section 2.1.

    >>> net = ConvAutoregressiveNetwork(params=2, event_shape=(8, 8, 4), filters=(16,), context_channels=16)
    >>> net(np.zeros([3, 8, 8, 4], "float32"), context=np.zeros([3, 8, 8, 16], "float32")).shape
    TensorShape([3, 8, 8, 4, 2])
    >>> ConvAutoregressiveNetwork(params=2, event_shape=(50, 4), filters=(16,))(np.zeros([3, 50, 4], "float32")).shape
    TensorShape([3, 50, 4, 2])
    """

    compiles_eager_calls = True

    def __init__(
        self,
        params: int,
        event_shape: Sequence[int],
        filters: Sequence[int] = (),
        kernel_size: int | Sequence[int] = 3,
        context_channels: int | None = None,
        input_order: InputOrder = "left-to-right",
        activation: Identifier = "elu",
        residual: bool = False,
        weight_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        if len(sizes("event_shape", event_shape)) not in (2, 3):
            raise ValueError(f"ConvAutoregressiveNetwork expects event_shape (H, W, C) or (T, C), got {given(event_shape)}.")
        super().__init__(
            params=params,
            event_shape=event_shape,
            context_size=None if context_channels is None else integer("context_channels", context_channels),
            activation=activation,
            residual=residual,
            weight_norm=weight_norm,
            **kwargs,
        )
        self.filters = widths("filters", filters)
        self.kernel_size = self._kernel_size_of(kernel_size)
        self.input_order = choice("input_order", input_order, ("left-to-right", "right-to-left"))
        # The position 1..D of each entry; within a pixel, its channels' degrees.
        self.degrees = masks.input_degrees(int(np.prod(self.event_shape)), input_order).reshape(self.event_shape)
        num_channels = self.event_shape[-1]
        self.make_layers(
            masks.input_degrees(num_channels, input_order),
            # A hidden unit of degree 0 sees the pixels before its own.
            [masks.hidden_degrees(width, num_channels, with_context=True) for width in self.filters],
        )

    def _kernel_size_of(self, value):
        """(h, w) of h or (h, w); of a network over series, (k,) of k or (k,)."""
        num_axes = len(self.event_shape) - 1
        found = sizes("kernel_size", value) * (1 if np.iterable(value) else num_axes)
        if len(found) != num_axes:
            expected = "an integer" if num_axes == 1 else "an integer or two of them"
            raise ValueError(f"kernel_size must be {expected} for events of shape {self.event_shape}, got {given(value)}.")
        return found

    def make_layer(
        self, in_degrees: npt.ArrayLike, out_degrees: npt.ArrayLike, strict: bool, **kwargs: Any
    ) -> keras.layers.Layer:
        reverse = self.input_order == "right-to-left"
        return MaskedConv(in_degrees, out_degrees, strict, kernel_size=self.kernel_size, reverse=reverse, **kwargs)

    @property
    def context_channels(self) -> int | None:
        return self.context_size

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        # The context's size is called `context_channels` here.
        del config["context_size"]
        return {
            **config,
            "filters": list(self.filters),
            "kernel_size": list(self.kernel_size),
            "context_channels": self.context_channels,
            "input_order": self.input_order,
        }
