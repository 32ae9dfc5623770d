"""Inverse autoregressive flows for TensorFlow Probability and Keras 3.

Data flows one way: masks -> networks -> bijectors -> posteriors -> models -> evaluation and serving.
"""

from tfp_iaf import (
    bijectors,
    callbacks,
    evaluation,
    layers,
    likelihoods,
    masks,
    models,
    networks,
    objectives,
    posteriors,
    priors,
    serving,
)
from tfp_iaf.bijectors import ConvInverseAutoregressiveFlow, InverseAutoregressiveFlow, LinearCholeskyIAF, ReverseOrder
from tfp_iaf.callbacks import KLWarmUp
from tfp_iaf.models import VAE, HierarchicalVAE
from tfp_iaf.networks import AutoregressiveNetwork, ConvAutoregressiveNetwork, RecurrentAutoregressiveNetwork
from tfp_iaf.posteriors import IAF, ConvIAF, DiagonalGaussian, FullCovariance, RecurrentIAF

__version__ = "0.1.0"

__all__ = [
    "IAF",
    "VAE",
    "AutoregressiveNetwork",
    "ConvAutoregressiveNetwork",
    "ConvIAF",
    "ConvInverseAutoregressiveFlow",
    "DiagonalGaussian",
    "FullCovariance",
    "HierarchicalVAE",
    "InverseAutoregressiveFlow",
    "KLWarmUp",
    "LinearCholeskyIAF",
    "RecurrentAutoregressiveNetwork",
    "RecurrentIAF",
    "ReverseOrder",
    "bijectors",
    "callbacks",
    "evaluation",
    "layers",
    "likelihoods",
    "masks",
    "models",
    "networks",
    "objectives",
    "posteriors",
    "priors",
    "serving",
]
