"""Variational inference for TFP's joint distributions: a surrogate posterior, its fit, and a diagnosis of the fit."""

from tfp_iaf.vi.diagnostics import Diagnosis, diagnose, pareto_k
from tfp_iaf.vi.fitting import Fit, fit
from tfp_iaf.vi.surrogate import AmortizedSurrogatePosterior, build_iaf_surrogate_posterior
from tfp_iaf.vi.without_features import without_features

__all__ = [
    "AmortizedSurrogatePosterior",
    "Diagnosis",
    "Fit",
    "build_iaf_surrogate_posterior",
    "diagnose",
    "fit",
    "pareto_k",
    "without_features",
]
