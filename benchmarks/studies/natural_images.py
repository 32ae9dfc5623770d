"""A diagonal posterior against a convolutional IAF in a hierarchical VAE, on natural images of 32 x 32.

The network of the example's preset cifar-small: three stochastic layers of 16 feature maps at 8 x 8, 32 feature maps on the
ways up and down, free bits of 0.1 nats per map. Batches of 128 and Adamax, whose rate falls linearly to 1 %; a moving average
of the weights with momentum 0.999, and the weights of the best validation.

The images at hand were decoded from JPEG: bits per dimension compare runs with one another, not with published figures.
"""

import image_datasets

from benchmarks.studies import resnet
from tfp_iaf import models

SETTINGS = {
    "posterior": "iaf",
    "inference": "bidirectional",
    "num_layers": [3],
    "filters": 32,
    "latent_channels": 16,
    "patch_size": 4,
    "num_flows": 1,
    "bijector_fn": "affine",
    "free_bits": 0.1,
    "optimizer": "adamax",
    "learning_rate": 2e-3,
    "decay_to": 0.01,
    "ema": 0.999,
    "steps": 6000,
    "elbo_samples": 4,
    "importance_samples": 16,
}
VARIANTS = {
    "diagonal": {"posterior": "diagonal"},
    "iaf": {},
    "diagonal-20k": {"posterior": "diagonal", "steps": 20_000},
    "iaf-20k": {"steps": 20_000},
    "diagonal-bottom-up": {"posterior": "diagonal", "inference": "bottom-up"},
    "iaf-bottom-up": {"inference": "bottom-up"},
}


def load_data(source):
    """The splits of a folder or .zip file of images.

    Raises:
        ValueError: in one line, for binary images.
    """
    images = image_datasets.load(source, seed=0)
    if images.likelihood != "discretized_logistic":
        raise ValueError(f"--data={source}: expected images of 256 levels, got binary ones.")
    return images.splits


def make_model(settings, data_shape, seed):
    flows = {name: settings[name] for name in ("num_flows", "bijector_fn")} if settings["posterior"] == "iaf" else {}
    return models.HierarchicalVAE(
        data_shape,
        num_layers=settings["num_layers"],
        filters=settings["filters"],
        latent_channels=settings["latent_channels"],
        patch_size=settings["patch_size"],
        inference=settings["inference"],
        posterior=settings["posterior"],
        free_bits=settings["free_bits"],
        likelihood="discretized_logistic",
        weight_norm=True,
        seed=seed,
        **flows,
    )


initialize = resnet.initialize
