"""Keras models that train posteriors: `fit`, `evaluate`, `.keras`."""

from tfp_iaf.models.kl_warm_up import KLWarmUp
from tfp_iaf.models.vae import VAE

__all__ = ["VAE", "KLWarmUp"]
