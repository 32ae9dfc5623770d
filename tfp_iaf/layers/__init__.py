"""Keras layers with weights that know nothing of flows."""

from tfp_iaf.layers._checkpointed import Checkpointed
from tfp_iaf.layers._precision import density_dtype
from tfp_iaf.layers._weight_normalized import weight_normalized
from tfp_iaf.layers.channel_log_scale import ChannelLogScale
from tfp_iaf.layers.masked_conv import MaskedConv
from tfp_iaf.layers.masked_dense import MaskedDense
from tfp_iaf.layers.residual_block import ResidualBlock, mnist_decoder, mnist_encoder
from tfp_iaf.layers.weight_normalization import WeightNormalization
from tfp_iaf.layers.weight_normalization import initialize as initialize_weight_normalization

__all__ = [
    "ChannelLogScale",
    "Checkpointed",
    "MaskedConv",
    "MaskedDense",
    "ResidualBlock",
    "WeightNormalization",
    "density_dtype",
    "initialize_weight_normalization",
    "mnist_decoder",
    "mnist_encoder",
    "weight_normalized",
]
