"""A VAE of images with many layers of latents."""

from tfp_iaf.models.hierarchical.hierarchical_vae import HierarchicalVAE

__all__ = ["HierarchicalVAE"]
