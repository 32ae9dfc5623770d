import numpy as np
import pytest
import tensorflow as tf

from tests import properties, reference
from tfp_iaf.bijectors import InverseAutoregressiveFlow
from tfp_iaf.networks import AutoregressiveNetwork

PARAMS = {"affine": 2, "gated": 2, "location": 1}


def make(kind, order, context_size, inverse="auto", scale=1.0):
    network = AutoregressiveNetwork(
        PARAMS[kind], 6, (24, 18), context_size=context_size, input_order=order, seed=1, dtype="float64"
    )
    network.build()
    properties.randomize(network, scale=scale)
    context = None if context_size is None else np.random.default_rng(1).normal(size=[4, context_size])
    return InverseAutoregressiveFlow(network, context=context, bijector_fn=kind, inverse=inverse), context


@pytest.mark.parametrize("context_size", [None, 3])
@pytest.mark.parametrize("order", ["left-to-right", "right-to-left", "random"])
@pytest.mark.parametrize("kind", PARAMS)
def test_both_directions_equal_the_naive_reference(kind, order, context_size):
    flow, context = make(kind, order, context_size)
    weights = reference.weights_of(flow.network)
    y = np.random.default_rng(0).normal(size=[4, 6])
    rows = [None] * 4 if context is None else context
    expected = [reference.iaf_forward(weights, flow.network.degrees, y[i], rows[i], kind) for i in range(4)]
    expected_z, expected_log_det = (np.array(part) for part in zip(*expected))
    np.testing.assert_allclose(flow.forward(y), expected_z, atol=1e-10)
    np.testing.assert_allclose(flow.forward_log_det_jacobian(properties.fresh(y)), expected_log_det, atol=1e-10)
    expected_y = [reference.iaf_inverse(weights, flow.network.degrees, expected_z[i], rows[i], kind) for i in range(4)]
    np.testing.assert_allclose(expected_y, y, atol=1e-8)
    np.testing.assert_allclose(flow.inverse(expected_z), y, atol=1e-8)


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0])
def test_fixed_point_and_sequential_inverse_agree(scale):
    z = np.random.default_rng(0).normal(size=[4, 6])
    fixed_point, sequential = (make("affine", "random", 3, inverse, scale)[0] for inverse in ("fixed_point", "sequential"))
    for ours, other in zip(fixed_point.inverse_and_log_det(z), sequential.inverse_and_log_det(z)):
        np.testing.assert_allclose(ours, other, atol=1e-9, rtol=1e-9)


def test_gradients_of_the_two_inverses_agree():
    z = tf.constant(np.random.default_rng(0).normal(size=[4, 6]))
    gradients = []
    for inverse in ("fixed_point", "sequential"):
        flow = make("affine", "random", 3, inverse)[0]
        with tf.GradientTape() as tape:
            tape.watch([z, flow.context])
            y, log_det = flow.inverse_and_log_det(z)
            loss = tf.reduce_sum(tf.sin(y)) + tf.reduce_sum(log_det)
        gradients.append(tape.gradient(loss, [z, flow.context, *flow.network.trainable_variables]))
    for ours, other in zip(*gradients):
        np.testing.assert_allclose(ours, other, atol=1e-9, rtol=1e-7)


def test_untrained_flow_is_near_the_identity():
    network = AutoregressiveNetwork(2, 6, (64, 64))
    y = np.random.default_rng(0).normal(size=[4, 6]).astype(np.float32)
    flow = InverseAutoregressiveFlow(network)
    np.testing.assert_allclose(flow.forward(y), y, atol=0.15)


def test_bfloat16_network_keeps_densities_in_float32():
    network = AutoregressiveNetwork(2, 6, (24,), dtype="mixed_bfloat16")
    flow = InverseAutoregressiveFlow(network)
    z, log_det = flow.forward_and_log_det(np.zeros([2, 6], np.float32))
    assert z.dtype == log_det.dtype == tf.float32


def test_inverse_broadcasts_an_unbatched_event_against_the_context():
    flow, _ = make("affine", "left-to-right", 3)
    z = np.random.default_rng(0).normal(size=[6])
    np.testing.assert_allclose(flow.inverse(z), flow.inverse(np.broadcast_to(z, [4, 6])), atol=1e-12)
