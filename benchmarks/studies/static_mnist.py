"""Every posterior and prior in one set-up: MLPs of 512-512 ELU units, 32 latents, 20,000 steps.

NICE and IAF have two hidden layers of 320 units in each flow, and Sylvester flows as many columns as latents.
"""

from benchmarks.studies.mlp import mlp_vae

SETTINGS = {
    "posterior": "iaf",
    "prior": "standard_normal",
    "latent_size": 32,
    "hidden_units": [512, 512],
    "activation": "elu",
    "num_flows": 2,
    "flow_hidden_units": [320, 320],
    "bijector_fn": "affine",
    "prior_num_flows": 2,
    "prior_components": 500,
    "optimizer": "adamax",
    "learning_rate": 2e-3,
    "decay_to": 0.01,
    "steps": 20_000,
    "importance_samples": 128,
}
VARIANTS = {
    "diagonal": {"posterior": "diagonal"},
    "full_covariance": {"posterior": "full_covariance"},
    "planar-10": {"posterior": "planar", "num_flows": 10},
    "planar-40": {"posterior": "planar", "num_flows": 40},
    "planar-80": {"posterior": "planar", "num_flows": 80},
    "nice": {"posterior": "nice", "num_flows": 4},
    "sylvester": {"posterior": "sylvester", "num_flows": 4},
    "iaf": {},
    "iaf-monotone": {"bijector_fn": "monotone"},
    "flow-prior": {"posterior": "diagonal", "prior": "autoregressive_flow"},
    "iaf-and-flow-prior": {"prior": "autoregressive_flow"},
    "vamp-prior": {"posterior": "diagonal", "prior": "vamp"},
}

make_model = mlp_vae
