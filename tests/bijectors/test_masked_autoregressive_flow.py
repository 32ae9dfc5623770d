"""TFP's own `tfb.MaskedAutoregressiveFlow` on our network."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties, reference
from tfp_iaf.networks import AutoregressiveNetwork

tfb = tfp.bijectors
tfd = tfp.distributions


def make_network(dtype="float32"):
    network = AutoregressiveNetwork(2, 4, (16, 16), context_size=3, dtype=dtype)
    network.build()
    return network


class DensityEstimator(keras.Model):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def call(self, inputs):
        x, context = inputs
        flow = tfb.MaskedAutoregressiveFlow(self.network)
        distribution = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros([4])), flow)
        return distribution.log_prob(x, bijector_kwargs={"context": context})

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return -tf.reduce_mean(y_pred)


def test_density_and_samples_equal_the_naive_reference():
    network = make_network("float64")
    properties.randomize(network)
    rng = np.random.default_rng(0)
    x, context = rng.normal(size=[5, 4]), rng.normal(size=[5, 3])
    flow = tfb.MaskedAutoregressiveFlow(network)
    weights = reference.weights_of(network)
    expected = []
    for row, condition in zip(x, context):
        shift, log_scale = reference.made(weights, network.degrees, row, condition, 2).T
        noise = (row - shift) / np.exp(log_scale)
        expected.append(-0.5 * (noise**2 + np.log(2.0 * np.pi)).sum() - log_scale.sum())
    distribution = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros([4], tf.float64)), flow)
    np.testing.assert_allclose(distribution.log_prob(x, bijector_kwargs={"context": context}), expected, atol=1e-10)
    noise = flow.inverse(tf.constant(x), context=context)
    np.testing.assert_allclose(flow.forward(properties.fresh(noise), context=context), x, atol=1e-9)


def test_it_trains_and_is_saved_inside_a_keras_model(tmp_path):
    rng = np.random.default_rng(0)
    context = rng.normal(size=[2000, 3]).astype(np.float32)
    x = rng.normal(size=[2000, 4]).astype(np.float32)
    # A linear-Gaussian law with a known density: x_1 ~ N(2 c_1, 1), x_i ~ N(x_{i-1}, 1/4).
    x[:, 0] += 2.0 * context[:, 0]
    for i in range(1, 4):
        x[:, i] = x[:, i - 1] + 0.5 * x[:, i]
    entropy = 2.0 * np.log(2.0 * np.pi * np.e) + 3.0 * np.log(0.5)
    model = DensityEstimator(make_network())
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=True)
    data = tf.data.Dataset.from_tensor_slices((x, context)).batch(200).map(lambda *both: (both,))
    history = model.fit(data, epochs=20, shuffle=False, verbose=0)
    assert history.history["loss"][0] > entropy + 1.0
    assert abs(history.history["loss"][-1] - entropy) < 0.15
    assert len(model.trainable_weights) == 7
    model.save_weights(tmp_path / "maf.weights.h5")
    twin = DensityEstimator(make_network())
    twin((x, context))
    twin.load_weights(tmp_path / "maf.weights.h5")
    np.testing.assert_array_equal(twin((x, context)), model((x, context)))
