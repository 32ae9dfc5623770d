"""Every posterior and prior in one set-up: MLPs of 512-512 ELU units, 32 latents, 20,000 steps.

NICE and IAF have two hidden layers of 320 units in each flow, and Sylvester flows as many columns as latents. Hamiltonian
variational inference moves the draw of a diagonal Gaussian by `num_flows` leapfrogs; its two densities of the momentum have the
hidden layers of a flow.
"""

from hamiltonian_model import HamiltonianVAE

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
    "hamiltonian-1": {"posterior": "hamiltonian", "num_flows": 1},
    "hamiltonian-4": {"posterior": "hamiltonian", "num_flows": 4},
    "hamiltonian-8": {"posterior": "hamiltonian", "num_flows": 8},
}


def make_model(settings, data_shape, seed):
    if settings["posterior"] != "hamiltonian":
        return mlp_vae(settings, data_shape, seed)
    return HamiltonianVAE(
        data_shape,
        settings["latent_size"],
        hidden_units=settings["hidden_units"],
        momentum_hidden_units=settings["flow_hidden_units"],
        leapfrog_steps=settings["num_flows"],
        activation=settings["activation"],
        seed=seed,
    )
