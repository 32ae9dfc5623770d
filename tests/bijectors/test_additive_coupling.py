import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tests.bijectors.constructors import PARAMETRIC, normals
from tfp_iaf.bijectors import AdditiveCoupling

KEPT = [True, False, True]


def test_the_rest_is_shifted_by_what_the_network_says_of_the_kept():
    y = normals(4, 2, 3)
    flow = AdditiveCoupling(lambda kept: kept[:, :1] * kept[:, 1:], KEPT)
    expected = y.numpy()
    expected[..., 1] += expected[..., 0] * expected[..., 2]
    np.testing.assert_allclose(flow.forward(y), expected)
    np.testing.assert_allclose(flow.inverse(properties.fresh(expected)), y, atol=1e-12)
    z, log_derivatives = flow.forward_and_log_derivatives(y)
    assert z.shape == log_derivatives.shape
    np.testing.assert_array_equal(log_derivatives, 0.0)
    assert flow.forward(y[0, 0]).shape == (3,)


def test_weights_of_a_keras_network_are_seen_trained_and_fresh():
    network = keras.Sequential([keras.layers.Dense(4, "elu"), keras.layers.Dense(1)])
    flow = AdditiveCoupling(network, KEPT, context=tf.ones([5, 2]))
    assert len(flow.trainable_variables) == len(network.trainable_variables) == 4
    y = tf.cast(normals(5, 3), tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(flow.inverse_and_log_det(y)[0] ** 2)
    assert all(np.abs(gradient).max() > 0 for gradient in tape.gradient(loss, flow.trainable_variables))
    before = flow.forward(y)
    properties.randomize(network, seed=5)
    assert np.abs(flow.forward(y) - before).max() > 1e-3


def test_frozen_weights_are_not_listed_and_still_read():
    network = keras.Sequential([keras.layers.Dense(4, "elu"), keras.layers.Dense(1)])
    network.build((None, 2))
    network.layers[0].trainable = False
    flow, y = AdditiveCoupling(network, KEPT), tf.cast(normals(5, 3), tf.float32)
    assert len(flow.trainable_variables) == 2 and len(flow.tf_variables) == 4
    forward = tf.function(lambda flow, y: flow.forward(y), autograph=False)
    for seed in (1, 2):
        properties.randomize(network, seed=seed)
        np.testing.assert_allclose(forward(flow, y), flow.forward(properties.fresh(y)), rtol=1e-5)


def test_a_flow_as_an_argument_sees_weight_updates():
    flow, y = PARAMETRIC["additive coupling"]((3,)), normals(3, 5)
    forward = tf.function(lambda flow, y: flow.forward(y), autograph=False)
    for seed in (1, 2):
        properties.randomize(flow.network, seed=seed)
        np.testing.assert_allclose(forward(flow, y), flow.forward(properties.fresh(y)))


def test_bad_arguments_raise_one_line():
    def network(kept):
        return kept

    for function, message in {
        lambda: AdditiveCoupling(3, KEPT): "Keras layer or a function",
        lambda: AdditiveCoupling(network, [True, True]): "some are true",
        lambda: AdditiveCoupling(network, [0, 1]): "D booleans",
        lambda: AdditiveCoupling(network, KEPT).forward(tf.ones([2, 4])): r"\[..., 3\]",
        lambda: AdditiveCoupling(network, KEPT).forward(tf.ones([2, 3])): "must return 1 numbers per row",
        lambda: AdditiveCoupling(keras.layers.Dense(1), KEPT, context=tf.ones([2], tf.float64)): "cast it",
    }.items():
        with pytest.raises(ValueError, match=message) as error:
            function()
        assert "\n" not in str(error.value)
