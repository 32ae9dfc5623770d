"""Keras layers from features to q(z|x): `z, log_q = posterior(features)`."""

from tfp_iaf.posteriors.gaussian import DiagonalGaussian, FullCovariance
from tfp_iaf.posteriors.iaf import IAF
from tfp_iaf.posteriors.posterior import Posterior

__all__ = ["IAF", "DiagonalGaussian", "FullCovariance", "Posterior"]
