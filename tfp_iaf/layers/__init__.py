"""Keras layers with weights that know nothing of flows."""

from tfp_iaf.layers._masked_layer import folded_masks
from tfp_iaf.layers._precision import density_dtype
from tfp_iaf.layers.channel_log_scale import ChannelLogScale
from tfp_iaf.layers.linear_layer import linear_layer
from tfp_iaf.layers.masked_conv import MaskedConv
from tfp_iaf.layers.masked_dense import MaskedDense
from tfp_iaf.layers.mnist_resnet import mnist_decoder, mnist_encoder
from tfp_iaf.layers.residual_block import ResidualBlock
from tfp_iaf.layers.tracked_layer import TrackedLayer
from tfp_iaf.layers.weight_normalization import WeightNormalization, initialize_weight_normalization

__all__ = [
    "ChannelLogScale",
    "MaskedConv",
    "MaskedDense",
    "ResidualBlock",
    "TrackedLayer",
    "WeightNormalization",
    "density_dtype",
    "folded_masks",
    "initialize_weight_normalization",
    "linear_layer",
    "mnist_decoder",
    "mnist_encoder",
]
