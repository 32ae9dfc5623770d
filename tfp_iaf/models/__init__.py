"""Keras models that train posteriors: `fit`, `evaluate`, `.keras`."""

from tfp_iaf.models.conditional_density import ConditionalDensity
from tfp_iaf.models.elbo_model import ElboModel
from tfp_iaf.models.hierarchical.hierarchical_vae import HierarchicalVAE
from tfp_iaf.models.vae import VAE

__all__ = ["VAE", "ConditionalDensity", "ElboModel", "HierarchicalVAE"]
