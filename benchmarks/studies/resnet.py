"""The VAE of the paper's MNIST experiments, with the posteriors that its Table 1 compares."""

from tfp_iaf import layers, models, posteriors

INITIALIZATION_IMAGES = 256


def resnet_vae(settings, data_shape, seed):
    """A VAE of the settings' version of the ResNet and its posterior."""
    latent_size = settings["latent_size"]
    posterior = {
        "diagonal": lambda: posteriors.DiagonalGaussian(latent_size, seed=seed),
        "full_covariance": lambda: posteriors.FullCovariance(latent_size, seed=seed),
        "iaf": lambda: posteriors.IAF(
            latent_size,
            num_flows=settings["num_flows"],
            hidden_units=settings["flow_hidden_units"],
            bijector_fn=settings["bijector_fn"],
            activation=settings["flow_activation"],
            seed=seed,
        ),
    }[settings["posterior"]]()
    return models.VAE(
        layers.mnist_encoder(settings["resnet_version"]),
        posterior,
        layers.mnist_decoder(settings["resnet_version"], data_shape=data_shape),
        free_bits=settings["free_bits"],
    )


def initialize(model, x_train, seed):
    """Sets the scales of weight-normalized layers by the first training images."""
    del seed
    layers.initialize_weight_normalization(model, x_train[:INITIALIZATION_IMAGES])
