"""The parts of the published small MLP."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import studies
from benchmarks.studies import published_parts, small_mlp_published

SETTINGS = {"latent_size": 5, "hidden_units": [16, 16], "flow_hidden_units": [16, 16]}


@pytest.fixture(scope="module")
def model():
    settings = studies.settings_of(small_mlp_published, "iaf") | SETTINGS
    model = small_mlp_published.make_model(settings, (4, 7), seed=0)
    model.build((None, 4, 7))
    small_mlp_published.initialize(model, None, seed=0)
    return model


def test_all_weights_are_uniform_within_the_root_of_the_inputs(model):
    network = model.posterior.networks[0]
    inputs = {
        model.encoder.layers[1]: 28,
        model.posterior.base_layer: 16,
        model.posterior.flow_layer: 16,
        network.hidden_layers[0]: 5,
        network.output_layer: 16,
        model.decoder.layers[-2]: 16,
    }
    for layer, num_inputs in inputs.items():
        for weight in layer.trainable_weights:
            largest = np.abs(weight).max()
            assert 0.7 / np.sqrt(num_inputs) < largest <= 1.0 / np.sqrt(num_inputs), weight.path
    context_kernel = np.abs(network.context_kernels[0])
    assert 0.7 / np.sqrt(5) < context_kernel.max() <= 1.0 / np.sqrt(5)


def test_every_hidden_unit_reads_the_latent(model):
    for network in model.posterior.networks:
        # Degree 0 would read the context alone.
        assert min(min(degrees) for degrees in network.hidden_degrees) == 1
    first, second = (network.degrees.tolist() for network in model.posterior.networks)
    assert first == second[::-1]


def test_the_scale_is_a_plain_softplus(model):
    u = np.array([-30.0, 0.0, 3.0], np.float32)
    np.testing.assert_allclose(model.posterior.base_scale(0.0, u), np.log1p(np.exp(u.astype(np.float64))), rtol=1e-5)


def test_the_gate_has_no_bound():
    y, parameters = np.array([0.5, -2.0]), np.array([[0.3, 0.0], [-1.0, -20.0]])
    s = 1.0 / (1.0 + np.exp(-(parameters[:, 1] + 2.0)))
    z, log_derivative = published_parts.UnboundedGate().forward(tf.constant(y), tf.constant(parameters))
    np.testing.assert_allclose(z, s * y + (1.0 - s) * parameters[:, 0])
    np.testing.assert_allclose(log_derivative, np.log(s))
    back, same = published_parts.UnboundedGate().inverse(z, tf.constant(parameters))
    np.testing.assert_allclose(back, y, rtol=1e-6)
    np.testing.assert_allclose(same, log_derivative)


def test_log_q_is_the_density_of_its_samples(model):
    features = np.random.default_rng(0).normal(size=[3, 16]).astype(np.float32)
    z, log_q = model.posterior(features, seed=0)
    np.testing.assert_allclose(model.posterior(features, value=z), log_q, atol=1e-3)


def test_the_optimizer_is_that_of_the_summed_loss():
    """Against its formula in NumPy, on gradients of the sum over a batch of 4; the second weight's gradient is tiny."""
    batch_size, rho, rate, epsilon = 4, 0.99, 0.1, 1e-8
    weight = keras.Variable(np.array([1.0, 2.0, 3.0]), dtype="float64")
    optimizer = published_parts.CenteredRMSprop(rate, epsilon=epsilon / batch_size)
    optimizer.build([weight])
    w, v, m = np.array([1.0, 2.0, 3.0]), np.zeros(3), np.zeros(3)
    for gradient in np.random.default_rng(0).normal(size=[5, 3]) * [1.0, 1e-8, 0.0]:
        v = rho * v + (1.0 - rho) * gradient**2
        m = rho * m + (1.0 - rho) * gradient
        w = w - rate * gradient / (np.sqrt(v - m**2) + epsilon)
        optimizer.apply([tf.constant(gradient / batch_size)], [weight])
    np.testing.assert_allclose(weight, w, rtol=1e-6)
