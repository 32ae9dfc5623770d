"""Keras layers for p(z): trained, saved and sampled with the model."""

from tfp_iaf.priors._get import get
from tfp_iaf.priors.autoregressive_flow import AutoregressiveFlow
from tfp_iaf.priors.base import Prior
from tfp_iaf.priors.fixed import Fixed
from tfp_iaf.priors.gaussian_mixture import GaussianMixture
from tfp_iaf.priors.standard_normal import StandardNormal
from tfp_iaf.priors.vamp_prior import VampPrior

__all__ = ["AutoregressiveFlow", "Fixed", "GaussianMixture", "Prior", "StandardNormal", "VampPrior", "get"]
