"""A VAE of MLPs, with any posterior and prior."""

import keras
import numpy as np

from benchmarks.studies.named_posteriors import posterior
from tfp_iaf import models, priors


def mlp_vae(settings, data_shape, seed):
    """A VAE of the settings' hidden units, latents, posterior and prior."""
    return models.VAE(
        mlp_encoder(settings),
        posterior(settings, seed),
        mlp_decoder(settings, data_shape),
        prior=_prior(settings, seed),
        free_bits=settings.get("free_bits", 0.0),
    )


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


def _prior(settings, seed):
    networks = {"hidden_units": settings["flow_hidden_units"], "activation": settings["activation"]}
    return {
        "standard_normal": lambda: priors.StandardNormal(),
        "autoregressive_flow": lambda: priors.AutoregressiveFlow(settings["prior_num_flows"], **networks),
        "vamp": lambda: priors.VampPrior(settings["prior_components"], seed=seed),
    }[settings.get("prior", "standard_normal")]()
