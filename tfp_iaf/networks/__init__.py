"""Keras layers that own the weights: (y, context) -> parameters `[..., *event, params]`."""

from tfp_iaf.networks.autoregressive import AutoregressiveNetwork
from tfp_iaf.networks.base import Network
from tfp_iaf.networks.conv_autoregressive import ConvAutoregressiveNetwork
from tfp_iaf.networks.recurrent_autoregressive import RecurrentAutoregressiveNetwork

__all__ = ["AutoregressiveNetwork", "ConvAutoregressiveNetwork", "Network", "RecurrentAutoregressiveNetwork"]
