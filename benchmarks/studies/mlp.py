"""The encoder and the decoder of the small MLPs."""

import keras
import numpy as np


def mlp_encoder(settings):
    return keras.Sequential([keras.layers.Flatten(), *_hidden(settings["hidden_units"], settings, "encoder")])


def mlp_decoder(settings, data_shape):
    return keras.Sequential(
        [
            *_hidden(settings["hidden_units"][::-1], settings, "decoder"),
            keras.layers.Dense(int(np.prod(data_shape)), name="logits"),
            keras.layers.Reshape(data_shape),
        ]
    )


def _hidden(widths, settings, name):
    return [keras.layers.Dense(width, settings["activation"], name=f"{name}_{k}") for k, width in enumerate(widths)]
