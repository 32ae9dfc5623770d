"""The network sizes of the published small MLP with our recipe: ELU, and Adamax with a rate that falls linearly to 1 %."""

from benchmarks.studies.mlp import mlp_vae

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
    "recurrent-iaf": {"posterior": "recurrent_iaf", "num_flows": 2, "flow_hidden_units": [64]},
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

make_model = mlp_vae
