"""Inverse autoregressive flows for TensorFlow Probability and Keras 3.

Data flows one way: masks -> networks -> bijectors -> posteriors -> models -> evaluation and serving.
"""

from tfp_iaf import bijectors, evaluation, masks, models, networks, objectives, posteriors, serving
from tfp_iaf.bijectors import InverseAutoregressiveFlow, LinearCholeskyIAF, ReverseOrder
from tfp_iaf.models import VAE, KLWarmUp
from tfp_iaf.networks import AutoregressiveNetwork
from tfp_iaf.posteriors import IAF, DiagonalGaussian, FullCovariance

__version__ = "0.1.0"

__all__ = [
    "IAF",
    "VAE",
    "AutoregressiveNetwork",
    "DiagonalGaussian",
    "FullCovariance",
    "InverseAutoregressiveFlow",
    "KLWarmUp",
    "LinearCholeskyIAF",
    "ReverseOrder",
    "bijectors",
    "evaluation",
    "masks",
    "models",
    "networks",
    "objectives",
    "posteriors",
    "serving",
]
