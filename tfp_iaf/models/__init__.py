"""Keras models that train posteriors: `fit`, `evaluate`, `.keras`."""

from tfp_iaf.models.channel_log_scale import ChannelLogScale
from tfp_iaf.models.discretized_logistic import DiscretizedLogistic
from tfp_iaf.models.hierarchical_vae import HierarchicalVAE
from tfp_iaf.models.kl_warm_up import KLWarmUp
from tfp_iaf.models.resnet import ResidualBlock, mnist_decoder, mnist_encoder
from tfp_iaf.models.vae import VAE

__all__ = [
    "VAE",
    "ChannelLogScale",
    "DiscretizedLogistic",
    "HierarchicalVAE",
    "KLWarmUp",
    "ResidualBlock",
    "mnist_decoder",
    "mnist_encoder",
]
