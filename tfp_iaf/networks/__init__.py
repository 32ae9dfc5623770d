"""Keras layers that own the weights: (y, context) -> parameters `[..., *event, params]`."""

from tfp_iaf.networks.autoregressive import AutoregressiveNetwork
from tfp_iaf.networks.conv_autoregressive import ConvAutoregressiveNetwork
from tfp_iaf.networks.masked_conv import MaskedConv
from tfp_iaf.networks.masked_dense import MaskedDense
from tfp_iaf.networks.precision import density_dtype
from tfp_iaf.networks.recurrent_autoregressive import RecurrentAutoregressiveNetwork
from tfp_iaf.networks.weight_norm import WeightNormalization
from tfp_iaf.networks.weight_norm import initialize as initialize_weight_normalization

__all__ = [
    "AutoregressiveNetwork",
    "ConvAutoregressiveNetwork",
    "MaskedConv",
    "MaskedDense",
    "RecurrentAutoregressiveNetwork",
    "WeightNormalization",
    "density_dtype",
    "initialize_weight_normalization",
]
