"""Keras layers from features to q(z|x): `z, log_q = posterior(features)`."""

from tfp_iaf.posteriors.base import Posterior
from tfp_iaf.posteriors.conv_iaf import ConvIAF
from tfp_iaf.posteriors.gaussian import DiagonalGaussian, FullCovariance
from tfp_iaf.posteriors.iaf import IAF
from tfp_iaf.posteriors.recurrent_iaf import RecurrentIAF

__all__ = ["IAF", "ConvIAF", "DiagonalGaussian", "FullCovariance", "Posterior", "RecurrentIAF"]
