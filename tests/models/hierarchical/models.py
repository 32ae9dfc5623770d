"""Small hierarchical models and images for their tests."""

import keras
import numpy as np

from tests import properties
from tfp_iaf.models import HierarchicalVAE


def images(rows=6, size=8, channels=2, seed=0):
    return np.random.default_rng(seed).integers(0, 256, size=[rows, size, size, channels], dtype="uint8")


def make(inference="bidirectional", posterior="iaf", dtype="float32", trained=True, **kwargs):
    """Two resolutions, with weights away from their start."""
    keras.utils.set_random_seed(0)
    settings = {"num_layers": (1, 1), "filters": 6, "latent_channels": 2, "seed": 0, **kwargs}
    model = HierarchicalVAE((8, 8, 2), inference=inference, posterior=posterior, dtype=dtype, **settings)
    if trained:
        properties.randomize(model, scale=1.0)
    return model


def make_small(**kwargs):
    """One layer, as it starts: for tests that compile it."""
    return make(**{"num_layers": (1,), "filters": 4, "trained": False, **kwargs})
