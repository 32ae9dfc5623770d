"""Our masked autoregressive flow, and TFP's own on our network."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties, reference
from tests.bijectors.constructors import normals
from tfp_iaf import _compat
from tfp_iaf.bijectors import InverseAutoregressiveFlow, MaskedAutoregressiveFlow
from tfp_iaf.networks import AutoregressiveNetwork

tfb = tfp.bijectors
tfd = tfp.distributions


def make_network(dtype="float32", context_size=3):
    network = AutoregressiveNetwork(2, 4, (16, 16), context_size=context_size, activation="elu", dtype=dtype)
    if context_size is not None:
        network.build()
    return network


def ours(network, context):
    return MaskedAutoregressiveFlow(network, context=context), {}


def theirs(network, context):
    return tfb.MaskedAutoregressiveFlow(network), {} if context is None else {"context": context}


@pytest.mark.parametrize("make_flow", [ours, theirs])
def test_density_and_samples_equal_the_naive_reference(make_flow):
    network = make_network("float64")
    properties.randomize(network)
    x, context = normals(5, 4), normals(5, 3, seed=4)
    flow, arguments = make_flow(network, context)
    weights = reference.weights_of(network)
    expected = []
    for row, condition in zip(x.numpy(), context.numpy()):
        shift, log_scale = reference.made(weights, network.degrees, row, condition, 2).T
        if make_flow is ours:
            log_scale = 4.0 * np.tanh(log_scale / 4.0)
        noise = (row - shift) / np.exp(log_scale)
        expected.append(-0.5 * (noise**2 + np.log(2.0 * np.pi)).sum() - log_scale.sum())
    distribution = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros([4], tf.float64)), flow)
    np.testing.assert_allclose(distribution.log_prob(x, bijector_kwargs=arguments), expected, atol=1e-10)
    noise = flow.inverse(x, **arguments)
    np.testing.assert_allclose(flow.forward(properties.fresh(noise), **arguments), x, atol=1e-9)


class DensityEstimator(keras.Model):
    def __init__(self, network, make_flow=ours):
        super().__init__()
        self.network = network
        self.make_flow = make_flow

    def call(self, inputs):
        x, context = inputs if isinstance(inputs, tuple) else (inputs, None)
        flow, arguments = self.make_flow(self.network, context)
        distribution = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros([4])), flow)
        return distribution.log_prob(x, bijector_kwargs=arguments)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return -tf.reduce_mean(y_pred)


@pytest.mark.parametrize("make_flow", [ours, theirs])
def test_it_trains_and_is_saved_inside_a_keras_model(make_flow, tmp_path):
    rng = np.random.default_rng(0)
    context = rng.normal(size=[2000, 3]).astype(np.float32)
    x = rng.normal(size=[2000, 4]).astype(np.float32)
    # A linear-Gaussian law with a known density: x_1 ~ N(2 c_1, 1), x_i ~ N(x_{i-1}, 1/4).
    x[:, 0] += 2.0 * context[:, 0]
    for i in range(1, 4):
        x[:, i] = x[:, i - 1] + 0.5 * x[:, i]
    entropy = 2.0 * np.log(2.0 * np.pi * np.e) + 3.0 * np.log(0.5)
    model = DensityEstimator(make_network(), make_flow)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=True)
    data = tf.data.Dataset.from_tensor_slices((x, context)).batch(200).map(lambda *both: (both,))
    history = model.fit(data, epochs=20, shuffle=False, verbose=0)
    assert history.history["loss"][0] > entropy + 1.0
    assert abs(history.history["loss"][-1] - entropy) < 0.15
    assert len(model.trainable_weights) == 7
    model.save_weights(tmp_path / "maf.weights.h5")
    twin = DensityEstimator(make_network(), make_flow)
    twin((x, context))
    twin.load_weights(tmp_path / "maf.weights.h5")
    np.testing.assert_array_equal(twin((x, context)), model((x, context)))


def test_it_trains_in_a_model_that_fit_calls_first():
    """Without a context, where TFP would take two flows of one network for equal, and answer from a dead graph."""
    x = np.float32(normals(200, 4)) * [1.0, 2.0, 3.0, 4.0]
    network = make_network(context_size=None)
    model = DensityEstimator(network)
    model.compile(keras.optimizers.Adam(1e-2))
    losses = model.fit(x, epochs=15, batch_size=50, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.5
    assert len(model.trainable_weights) == 6


def test_all_trainable_variables_are_seen():
    network = make_network()
    flow = MaskedAutoregressiveFlow(network, context=tf.ones([3]))
    expected = {id(_compat.tf_variable(weight)) for weight in network.trainable_weights}
    q = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros([4])), flow)
    assert {id(variable) for variable in q.trainable_variables} == expected
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(q.log_prob(tf.ones([2, 4])))
    assert all(gradient is not None for gradient in tape.gradient(loss, q.trainable_variables))


def test_it_is_the_inverse_of_the_inverse_autoregressive_flow():
    network = make_network("float64")
    properties.randomize(network)
    context, x = normals(5, 3), normals(5, 4)
    maf, iaf = (flow(network, context=context) for flow in (MaskedAutoregressiveFlow, InverseAutoregressiveFlow))
    for one, other in (
        (maf.forward_and_log_det(x), iaf.inverse_and_log_det(x)),
        (maf.inverse_and_log_det(x), iaf.forward_and_log_det(x)),
    ):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_allclose(one[1], -other[1], atol=1e-12)
    with pytest.raises(NotImplementedError, match="is no sum over the event's entries"):
        maf.forward_and_log_derivatives(x)
