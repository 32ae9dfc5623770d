"""A small convolutional VAE of binary images of 28 x 28, with any posterior."""

import keras

from benchmarks.studies.named_posteriors import posterior
from tfp_iaf import models


def convolutional_vae(settings, data_shape, seed):
    """Two convolutions of stride 2 and one of stride 1, a dense layer, and the mirror image of these."""
    layers, activation = keras.layers, settings["activation"]
    small, large = settings["filters"]
    height, width = (-(-side // 4) for side in data_shape)
    encoder = [
        layers.Reshape((*data_shape, 1)),
        layers.Conv2D(small, 5, 2, "same", activation=activation),
        layers.Conv2D(large, 5, 2, "same", activation=activation),
        layers.Conv2D(large, 3, 1, "same", activation=activation),
        layers.Flatten(),
        layers.Dense(settings["features"], activation),
    ]
    decoder = [
        layers.Dense(settings["features"], activation),
        layers.Dense(height * width * large, activation),
        layers.Reshape((height, width, large)),
        layers.Conv2D(large, 3, 1, "same", activation=activation),
        layers.Conv2DTranspose(small, 5, 2, "same", activation=activation),
        layers.Conv2DTranspose(1, 5, 2, "same"),
        layers.Reshape(data_shape),
    ]
    return models.VAE(keras.Sequential(encoder), posterior(settings, seed), keras.Sequential(decoder))
