"""Table 1 of the paper's first version: the same ResNet with three posteriors, on static MNIST.

Source: Kingma et al. 2016, first version, section 6.1. Not stated there, and chosen here: 32 latents, batches of 128, masked
networks of two layers of 320 ELU units, and the length of the training, equal for all. The rate falls linearly to 1 %.
Published bound and log p(x): diagonal -85.6 and -82.2, full covariance -84.3 and -81.4, IAF -84.0 and -81.4.
"""

from benchmarks.studies import resnet

SETTINGS = {
    "posterior": "iaf",
    "resnet_version": "first",
    "latent_size": 32,
    "num_flows": 2,
    "flow_hidden_units": [320, 320],
    "flow_activation": "elu",
    "bijector_fn": "affine",
    "optimizer": "adamax",
    "learning_rate": 2e-3,
    "decay_to": 0.01,
    "ema": 0.998,
    "steps": 10_000,
    "importance_samples": 128,
}
VARIANTS = {"diagonal": {"posterior": "diagonal"}, "full_covariance": {"posterior": "full_covariance"}, "iaf": {}}

make_model, initialize = resnet.resnet_vae, resnet.initialize
