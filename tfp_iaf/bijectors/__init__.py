"""`tfb.Bijector` subclasses: views on a network or on tensors, they own no weights."""

from tfp_iaf.bijectors import inverses, maps
from tfp_iaf.bijectors.additive_coupling import AdditiveCoupling
from tfp_iaf.bijectors.base import FlowBijector
from tfp_iaf.bijectors.hamiltonian_flow import HamiltonianFlow
from tfp_iaf.bijectors.inverse_autoregressive_flow import ConvInverseAutoregressiveFlow, InverseAutoregressiveFlow
from tfp_iaf.bijectors.linear_cholesky_iaf import LinearCholeskyIAF
from tfp_iaf.bijectors.maps import ElementwiseMap
from tfp_iaf.bijectors.masked_autoregressive_flow import MaskedAutoregressiveFlow
from tfp_iaf.bijectors.planar import Planar
from tfp_iaf.bijectors.radial import Radial
from tfp_iaf.bijectors.reverse_order import ReverseOrder
from tfp_iaf.bijectors.sylvester import Sylvester

__all__ = [
    "AdditiveCoupling",
    "ConvInverseAutoregressiveFlow",
    "ElementwiseMap",
    "FlowBijector",
    "HamiltonianFlow",
    "InverseAutoregressiveFlow",
    "LinearCholeskyIAF",
    "MaskedAutoregressiveFlow",
    "Planar",
    "Radial",
    "ReverseOrder",
    "Sylvester",
    "inverses",
    "maps",
]
