"""`tf.train.Checkpoint` of every layer and model that keeps others, or weights, in lists."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tfp_iaf import models, posteriors
from tfp_iaf.layers import MaskedDense
from tfp_iaf.networks import AutoregressiveNetwork, ConvAutoregressiveNetwork, RecurrentAutoregressiveNetwork


def vae():
    return models.VAE(keras.layers.Dense(4), posteriors.IAF(2, 2, (4,)), keras.layers.Dense(5))


LAYERS = {
    "masked dense": (lambda: MaskedDense([1, 2, 3], [1, 2, 3], num_blocks=2), (None, 3)),
    "autoregressive": (lambda: AutoregressiveNetwork(2, 4, (8, 8), context_size=3, weight_norm=True), (None, 4)),
    "conv": (lambda: ConvAutoregressiveNetwork(2, (4, 4, 2), (6,)), (None, 4, 4, 2)),
    "recurrent": (lambda: RecurrentAutoregressiveNetwork(2, 4, (3, 3), "gru"), (None, 4)),
    "IAF": (lambda: posteriors.IAF(2, 2, (4,)), (None, 5)),
    "ConvIAF": (lambda: posteriors.ConvIAF((4, 4, 2), 2, (4,)), (None, 4, 4, 3)),
    "RecurrentIAF": (lambda: posteriors.RecurrentIAF(2, 2, 3), (None, 5)),
    "VAE": (vae, (None, 5)),
    "HierarchicalVAE": (lambda: models.HierarchicalVAE((8, 8, 1), (1, 1), filters=4, latent_channels=2), (None, 8, 8, 1)),
}


@pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
def test_a_checkpoint_holds_every_weight(make, shape, tmp_path):
    layer, other = make(), make()
    for each, seed in ((layer, 0), (other, 1)):
        each.build(shape)
        properties.randomize(each, seed=seed)
    path = tf.train.Checkpoint(layer=layer).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(layer=other).restore(path).assert_consumed()
    assert len(layer.weights) == len(other.weights) > 0
    for ours, restored in zip(layer.weights, other.weights):
        np.testing.assert_array_equal(ours, restored)
