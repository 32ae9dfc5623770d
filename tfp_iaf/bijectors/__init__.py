"""`tfb.Bijector` subclasses: views on a network, they own no state."""

from tfp_iaf.bijectors.conv_inverse_autoregressive_flow import ConvInverseAutoregressiveFlow
from tfp_iaf.bijectors.inverse_autoregressive_flow import InverseAutoregressiveFlow
from tfp_iaf.bijectors.linear_cholesky_iaf import LinearCholeskyIAF
from tfp_iaf.bijectors.reverse_order import ReverseOrder

__all__ = ["ConvInverseAutoregressiveFlow", "InverseAutoregressiveFlow", "LinearCholeskyIAF", "ReverseOrder"]
