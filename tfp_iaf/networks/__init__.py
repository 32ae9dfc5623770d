"""Keras layers that own the weights: (y, context) -> parameters `[..., *event, params]`."""

from tfp_iaf.networks.autoregressive import AutoregressiveNetwork
from tfp_iaf.networks.masked_dense import MaskedDense
from tfp_iaf.networks.precision import density_dtype

__all__ = ["AutoregressiveNetwork", "MaskedDense", "density_dtype"]
