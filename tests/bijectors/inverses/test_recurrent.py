"""The inverse of flows with recurrent networks; values and gradients: `test_inverses.py`."""

import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tests.bijectors.constructors import normals
from tfp_iaf.bijectors import InverseAutoregressiveFlow, inverses
from tfp_iaf.networks import RecurrentAutoregressiveNetwork


def make_network(event_size=6, units=7, cell="lstm", context_size=3, dtype="float64"):
    network = RecurrentAutoregressiveNetwork(2, event_size, units, cell, context_size, "random", seed=1, dtype=dtype)
    network.build()
    properties.randomize(network)
    return network


@pytest.mark.long
def test_second_derivatives():
    """Against differences of the first ones."""
    network = make_network(event_size=3, units=4, cell="gru")
    flow = InverseAutoregressiveFlow(network, context=normals(3), inverse="recurrent")

    def slopes(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            _, log_det = flow.inverse_and_log_det(z)
        return tf.reduce_sum(tf.sin(tape.gradient(log_det, z)))

    def second_derivatives(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = slopes(z)
        return tape.gradient(value, z)

    z, h = normals(3), 1e-5
    expected = [(slopes(z + h * direction) - slopes(z - h * direction)) / (2.0 * h) for direction in np.eye(3)]
    assert np.abs(expected).max() > 1e-4
    for function in (second_derivatives, tf.function(second_derivatives, autograph=False)):
        np.testing.assert_allclose(function(z), expected, atol=1e-7)


@pytest.mark.parametrize(("cell", "units"), [("lstm", 7), ("gru", (5, 4))])
def test_empty_batches(cell, units):
    """Of a static and of an unknown size, in both directions, with zero gradients."""
    flow = InverseAutoregressiveFlow(make_network(units=units, cell=cell), context=normals(3))

    def both(y):
        with tf.GradientTape() as tape:
            z, log_det = flow.forward_and_log_det(y)
            back, _ = flow.inverse_and_log_det(z)
            loss = tf.reduce_sum(back) + tf.reduce_sum(log_det)
        return z, log_det, back, tape.gradient(loss, flow.trainable_variables)

    for function in (both, tf.function(both, input_signature=[tf.TensorSpec([None, 6], tf.float64)], autograph=False)):
        z, log_det, back, gradients = function(tf.zeros([0, 6], tf.float64))
        assert z.shape == back.shape == (0, 6)
        assert log_det.shape == (0,)
        assert all((gradient.numpy() == 0).all() for gradient in gradients)


def test_auto_is_recurrent_where_the_arithmetic_allows():
    assert type(inverses.get("auto", make_network())) is inverses.Recurrent
    network = make_network(dtype="mixed_bfloat16")
    assert type(inverses.get("auto", network)) is inverses.FixedPoint
    with pytest.raises(ValueError, match="computes in bfloat16: choose auto or one of fixed_point, sequential"):
        inverses.get("recurrent", network)


def test_it_never_evaluates_the_network():
    network = make_network()
    flow = InverseAutoregressiveFlow(network, context=normals(4, 3))
    network.call = None
    flow.inverse_and_log_det(normals(4, 6))
