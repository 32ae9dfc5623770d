"""Inverse autoregressive flows for TensorFlow Probability and Keras 3.

Data flows one way:
masks -> layers -> networks -> bijectors -> posteriors, priors, likelihoods -> models -> evaluation and serving.
"""

from tfp_iaf import _backend  # noqa: F401, I001 - refuses another backend before anything is built on it.
from tfp_iaf import (
    bijectors,
    callbacks,
    distributed,
    evaluation,
    layers,
    likelihoods,
    masks,
    models,
    networks,
    noise,
    objectives,
    posteriors,
    priors,
    scales,
    serving,
    vi,
)
from tfp_iaf.versions import show_versions
from tfp_iaf.bijectors import (
    AdditiveCoupling,
    ConvInverseAutoregressiveFlow,
    HamiltonianFlow,
    InverseAutoregressiveFlow,
    LinearCholeskyIAF,
    MaskedAutoregressiveFlow,
    Planar,
    Radial,
    ReverseOrder,
    Sylvester,
)
from tfp_iaf.callbacks import FreeEnergyAnnealing, KLWarmUp
from tfp_iaf.models import VAE, ConditionalDensity, HierarchicalVAE
from tfp_iaf.networks import AutoregressiveNetwork, ConvAutoregressiveNetwork, RecurrentAutoregressiveNetwork
from tfp_iaf.posteriors import (
    IAF,
    NICE,
    ConvIAF,
    DiagonalGaussian,
    FullCovariance,
    PlanarFlow,
    RadialFlow,
    RecurrentIAF,
    SylvesterFlow,
)

__version__ = "0.1.0"

__all__ = [
    "IAF",
    "NICE",
    "VAE",
    "AdditiveCoupling",
    "AutoregressiveNetwork",
    "ConditionalDensity",
    "ConvAutoregressiveNetwork",
    "ConvIAF",
    "ConvInverseAutoregressiveFlow",
    "DiagonalGaussian",
    "FreeEnergyAnnealing",
    "FullCovariance",
    "HamiltonianFlow",
    "HierarchicalVAE",
    "InverseAutoregressiveFlow",
    "KLWarmUp",
    "LinearCholeskyIAF",
    "MaskedAutoregressiveFlow",
    "Planar",
    "PlanarFlow",
    "Radial",
    "RadialFlow",
    "RecurrentAutoregressiveNetwork",
    "RecurrentIAF",
    "ReverseOrder",
    "Sylvester",
    "SylvesterFlow",
    "bijectors",
    "callbacks",
    "distributed",
    "evaluation",
    "layers",
    "likelihoods",
    "masks",
    "models",
    "networks",
    "noise",
    "objectives",
    "posteriors",
    "priors",
    "scales",
    "serving",
    "show_versions",
    "vi",
]
