"""The set-up of a published small MLP on static MNIST, to the letter.

Source: jaanli/variational-autoencoder, whose single runs report test log p(x) of -97.10 (mean field) and -95.33 (IAF).

ReLU, 128 latents, weights drawn from U(-1, 1) / sqrt(inputs), the scale softplus(u), two flows with an unbounded gate, and
centered RMSprop on the loss summed over the batch, with epsilon outside the root. Validation every 10,000 steps; training ends
after more than 5 in a row without a gain, and the best one's weights are evaluated.
"""

from benchmarks.studies import published_parts
from benchmarks.studies.mlp import mlp_decoder, mlp_encoder
from tfp_iaf import models

SETTINGS = {
    "latent_size": 128,
    "hidden_units": [256, 256],
    "activation": "relu",
    "num_flows": 2,
    "flow_hidden_units": [256, 256],
    "optimizer": "centered RMSprop, epsilon 1e-8 outside the root of the summed loss",
    "learning_rate": 1e-3,
    "batch_size": 128,
    "steps": 500_000,
    "steps_per_validation": 10_000,
    "patience": 5,
    "elbo_samples": 128,
    "importance_samples": 128,
}
VARIANTS = {"diagonal": {"num_flows": 0}, "iaf": {}}


def make_model(settings, data_shape, seed):
    posterior = published_parts.PublishedPosterior(
        settings["latent_size"], settings["num_flows"], settings["flow_hidden_units"], seed
    )
    return models.VAE(mlp_encoder(settings), posterior, mlp_decoder(settings, data_shape))


def make_optimizer(settings):
    return published_parts.CenteredRMSprop(settings["learning_rate"], epsilon=1e-8 / settings["batch_size"])


def initialize(model, x_train, seed):
    del x_train
    published_parts.initialize(model, seed)
