"""The ResNet of the paper's final version with the flow of a later paper, on static MNIST.

Source: Kingma et al. 2016, final version, for the network; Chen et al. 2017 ("Variational lossy autoencoder") for the rest: 64
latents, four flows that shift only, each a MADE of three layers with 640 ReLU units, Adamax 0.002, free bits of 0.01 nats per
pixel (here 7.84 / 64 for each latent), and a moving average of the weights with momentum 0.998. The rate falls linearly to 1 %.
Published log p(x): -79.88.
"""

from benchmarks.studies import resnet

SETTINGS = {
    "posterior": "iaf",
    "resnet_version": "final",
    "latent_size": 64,
    "num_flows": 4,
    "flow_hidden_units": [640, 640],
    "flow_activation": "relu",
    "bijector_fn": "location",
    "optimizer": "adamax",
    "learning_rate": 2e-3,
    "decay_to": 0.01,
    "ema": 0.998,
    "free_bits": 0.1225,
    "steps": 100_000,
    "steps_per_validation": 5000,
    "steps_per_execution": 100,
    "importance_samples": 4096,
}
VARIANTS = {
    "diagonal": {"posterior": "diagonal"},
    "iaf-50k": {"steps": 50_000},
    "iaf-70k": {"steps": 70_000},
    "iaf": {},
    "iaf-150k": {"steps": 150_000},
    "iaf-200k": {"steps": 200_000},
    "iaf-300k": {"steps": 300_000},
}

make_model, initialize = resnet.resnet_vae, resnet.initialize
