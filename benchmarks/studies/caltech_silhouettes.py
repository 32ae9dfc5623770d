"""Posteriors of a small convolutional VAE on the Caltech 101 silhouettes, official split.

Source: van den Berg et al. 2018, section 6.2, whose network is larger: six gated convolutions, flows of 320 to 1,280 units,
batches of 100, early stopping. Published bounds: none -110.80, planar -109.66, IAF -111.58, best Sylvester flow -104.62. Here
all variants train for the same number of steps, with a rate that falls linearly to 1 %; the weights of the best validation are
evaluated.
"""

from benchmarks.studies.convolutional import convolutional_vae

SETTINGS = {
    "posterior": "iaf",
    "latent_size": 64,
    "filters": [32, 64],
    "features": 256,
    "activation": "elu",
    "num_flows": 4,
    "flow_hidden_units": [320, 320],
    "bijector_fn": "affine",
    "num_columns": 16,
    "optimizer": "adamax",
    "learning_rate": 1e-3,
    "decay_to": 0.01,
    "batch_size": 100,
    "kl_warm_up_steps": 4000,
    "steps": 10_000,
    "steps_per_validation": 500,
    "importance_samples": 128,
}
VARIANTS = {
    "diagonal": {"posterior": "diagonal"},
    "planar": {"posterior": "planar", "num_flows": 16},
    "sylvester": {"posterior": "sylvester"},
    "iaf": {},
}

make_model = convolutional_vae
