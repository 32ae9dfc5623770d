"""The VAE of the paper's MNIST experiments, with the posteriors that its Table 1 compares."""

from benchmarks.studies.named_posteriors import posterior
from tfp_iaf import layers, models

INITIALIZATION_IMAGES = 256


def resnet_vae(settings, data_shape, seed):
    """A VAE of the settings' version of the ResNet and its posterior."""
    return models.VAE(
        layers.mnist_encoder(settings["resnet_version"]),
        posterior(settings, seed),
        layers.mnist_decoder(settings["resnet_version"], data_shape=data_shape),
        free_bits=settings["free_bits"],
    )


def initialize(model, x_train, seed):
    """Sets the scales of weight-normalized layers by the first training images."""
    del seed
    layers.initialize_weight_normalization(model, x_train[:INITIALIZATION_IMAGES])
