"""`tfb.Bijector` subclasses: views on a network or on tensors, they own no weights."""

from tfp_iaf.bijectors.base import FlowBijector
from tfp_iaf.bijectors.inverse_autoregressive_flow import ConvInverseAutoregressiveFlow, InverseAutoregressiveFlow
from tfp_iaf.bijectors.linear_cholesky_iaf import LinearCholeskyIAF
from tfp_iaf.bijectors.maps import ElementwiseMap
from tfp_iaf.bijectors.masked_autoregressive_flow import MaskedAutoregressiveFlow
from tfp_iaf.bijectors.reverse_order import ReverseOrder

__all__ = [
    "ConvInverseAutoregressiveFlow",
    "ElementwiseMap",
    "FlowBijector",
    "InverseAutoregressiveFlow",
    "LinearCholeskyIAF",
    "MaskedAutoregressiveFlow",
    "ReverseOrder",
]
