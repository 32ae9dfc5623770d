"""Keras layers from features to q(z|x): `z, log_q = posterior(features)`."""

from tfp_iaf.posteriors.base import Posterior
from tfp_iaf.posteriors.conv_iaf import ConvIAF
from tfp_iaf.posteriors.gaussian import DiagonalGaussian, FullCovariance
from tfp_iaf.posteriors.iaf import IAF
from tfp_iaf.posteriors.nice import NICE
from tfp_iaf.posteriors.planar_flow import PlanarFlow
from tfp_iaf.posteriors.radial_flow import RadialFlow
from tfp_iaf.posteriors.recurrent_iaf import RecurrentIAF
from tfp_iaf.posteriors.sylvester_flow import SylvesterFlow

__all__ = [
    "IAF",
    "NICE",
    "ConvIAF",
    "DiagonalGaussian",
    "FullCovariance",
    "PlanarFlow",
    "Posterior",
    "RadialFlow",
    "RecurrentIAF",
    "SylvesterFlow",
]
