"""The network sizes of the published small MLP with our recipe: ELU, and Adamax with a rate that falls linearly to 1 %."""

from benchmarks.studies.mlp import mlp_decoder, mlp_encoder
from tfp_iaf import models, posteriors

SETTINGS = {
    "posterior": "iaf",
    "latent_size": 32,
    "hidden_units": [256, 256],
    "activation": "elu",
    "num_flows": 4,
    "flow_hidden_units": [256, 256],
    "bijector_fn": "affine",
    "optimizer": "adamax",
    "learning_rate": 2e-3,
    "decay_to": 0.01,
    "steps": 30_000,
    "importance_samples": 128,
}
VARIANTS = {
    "diagonal": {"posterior": "diagonal"},
    "iaf": {},
    "full_covariance": {"posterior": "full_covariance"},
    "diagonal-128": {"posterior": "diagonal", "latent_size": 128},
    "iaf-128": {"latent_size": 128, "num_flows": 2, "bijector_fn": "gated"},
    # What helps: one change each.
    "iaf-2-flows": {"num_flows": 2},
    "iaf-warm-up": {"kl_warm_up_steps": 5000},
    "iaf-free-bits": {"free_bits": 0.25},
    "iaf-ema": {"ema": 0.999},
    "diagonal-60k": {"posterior": "diagonal", "steps": 60_000},
    "iaf-60k": {"steps": 60_000},
}


def make_model(settings, data_shape, seed):
    latent_size = settings["latent_size"]
    posterior = {
        "diagonal": lambda: posteriors.DiagonalGaussian(latent_size, seed=seed),
        "full_covariance": lambda: posteriors.FullCovariance(latent_size, seed=seed),
        "iaf": lambda: posteriors.IAF(
            latent_size,
            num_flows=settings["num_flows"],
            hidden_units=settings["flow_hidden_units"],
            bijector_fn=settings["bijector_fn"],
            activation=settings["activation"],
            seed=seed,
        ),
    }[settings["posterior"]]()
    return models.VAE(mlp_encoder(settings), posterior, mlp_decoder(settings, data_shape), free_bits=settings["free_bits"])
