"""The chain that IAF, ConvIAF and RecurrentIAF share."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tfp_iaf.bijectors import InverseAutoregressiveFlow
from tfp_iaf.posteriors import IAF, ConvIAF, RecurrentIAF


def orders(posterior):
    return [network.input_order for network in posterior.networks]


def test_orders_alternate_without_reversals_in_between():
    posterior = IAF(4, num_flows=3, hidden_units=(8,))
    assert orders(posterior) == ["left-to-right", "right-to-left", "left-to-right"]
    assert [network.name for network in posterior.networks] == ["flow_1", "flow_2", "flow_3"]
    assert all(type(flow) is InverseAutoregressiveFlow for flow in posterior.flows(tf.zeros([6, 4])))
    assert orders(RecurrentIAF(4, units=3, input_order="right-to-left")) == ["right-to-left", "left-to-right"]
    assert orders(ConvIAF((2, 2, 1), filters=(4,))) == ["left-to-right", "right-to-left"]


def test_the_reverse_of_a_permutation():
    posterior = IAF(3, num_flows=3, hidden_units=(8,), input_order=[2, 1, 3])
    assert orders(posterior) == [[2, 1, 3], [2, 3, 1], [2, 1, 3]]
    assert posterior.get_config()["input_order"] == [2, 1, 3]


def test_random_orders_are_drawn_once_per_flow_and_stored():
    posterior = IAF(40, num_flows=3, hidden_units=(8,), input_order="random", seed=3)
    drawn = orders(posterior)
    assert len({tuple(order) for order in drawn}) == 3
    assert orders(IAF(40, num_flows=3, hidden_units=(8,), input_order="random", seed=3)) == drawn
    assert orders(IAF(40, num_flows=3, hidden_units=(8,), input_order="random", seed=4)) != drawn
    for _ in range(2):  # A copy of a copy, too.
        posterior = IAF.from_config(posterior.get_config())
        assert orders(posterior) == drawn


def test_one_order_per_flow():
    given = ["left-to-right", [2, 1, 3]]
    posterior = IAF(3, hidden_units=(8,), input_order=given)
    assert orders(posterior) == given
    assert orders(IAF.from_config(posterior.get_config())) == given


def test_every_entry_depends_on_every_other():
    posterior = IAF(5, hidden_units=(16,))
    posterior.build((None, 7))
    properties.randomize(posterior, scale=2.0)
    context = tf.ones([5])

    def chain(y):
        for flow in posterior.flows(context):
            y, _ = flow.forward_and_log_det(y)
        return y

    assert (properties.jacobian(chain, np.random.default_rng(1).normal(size=[5]).astype(np.float32)) != 0).all()


def test_arguments_reach_the_networks():
    posterior = IAF(
        4,
        hidden_units=(8, 8),
        activation="tanh",
        residual=True,
        use_bias=False,
        kernel_initializer=keras.initializers.Constant(0.25),
        kernel_regularizer=keras.regularizers.L2(0.5),
    )
    posterior(np.zeros([2, 7], np.float32))
    for network in posterior.networks:
        assert network.activation is keras.activations.tanh
        assert network.residual
        kernel = network.hidden_layers[0].kernel
        assert set(np.unique(kernel)) == {0.0, 0.25}
        assert all(layer.bias is None for layer in network.hidden_layers)
    assert len(posterior.losses) >= 2 * 3
    assert all(float(loss) > 0 for loss in posterior.losses)
    conv = ConvIAF((3, 3, 1), filters=(4,), bias_initializer="ones", kernel_regularizer="l1", activation="relu")
    conv(np.zeros([2, 3, 3, 2], np.float32))
    assert conv.networks[1].activation is keras.activations.relu
    np.testing.assert_array_equal(conv.networks[1].hidden_layers[0].bias, np.ones(4))
    assert conv.losses
    assert IAF(2, hidden_units=(4,)).networks[0].activation is keras.activations.elu


def test_weight_normalized_networks():
    posterior = IAF(4, hidden_units=(8,), weight_norm=True)
    z, log_q = posterior(np.ones([3, 7], np.float32))
    np.testing.assert_allclose(posterior(np.ones([3, 7], np.float32), value=z), log_q, atol=1e-4)
    assert IAF.from_config(posterior.get_config()).networks[0].weight_norm


@pytest.mark.parametrize("inverse", ["blocks", "fixed_point", "sequential"])
def test_names_of_inverses_reach_the_flows(inverse):
    posterior = IAF(4, hidden_units=(8,), inverse=inverse, dtype="float64")
    features = np.ones([3, 7])
    posterior(features)
    properties.randomize(posterior)
    assert all(flow.parameters["inverse"] == inverse for flow in posterior.flows(tf.zeros([3, 4], tf.float64)))
    z, log_q = posterior(features)
    np.testing.assert_allclose(posterior(features, value=properties.fresh(z)), log_q, atol=1e-8)
    assert posterior.get_config()["inverse"] == inverse


def test_half_precision_networks_survive_growth_on_the_way():
    """Unsettled entries outgrow float16 long before float32."""
    features = np.random.default_rng(0).normal(size=[64, 7]).astype(np.float32)
    posterior = IAF(32, hidden_units=(64, 64), seed=1, dtype="mixed_float16")
    posterior(features)
    properties.randomize(posterior, scale=1.5)
    z, log_q = posterior(features)
    assert np.isfinite(log_q).all()
    assert np.isfinite(posterior(features, value=z)).all()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: IAF(4, num_flows=0), "num_flows must be a positive integer"),
        (lambda: IAF(4, bijector_fn="affinity"), "bijector_fn must be .*, got 'affinity'"),
        (lambda: IAF(4, bijector_fn=lambda parameters: None), "say how many parameters it takes"),
        (lambda: IAF(4, hidden_units=(0,)), "number in hidden_units must be a positive integer"),
        (lambda: IAF(4, hidden_units=64), "must be a sequence of widths"),
        (lambda: IAF(4, context_size=-1), "context_size must be a non-negative integer"),
        (lambda: IAF(4, inverse="quick"), "inverse must be one of .*, got 'quick'"),
        (lambda: IAF(4, inverse="recurrent"), "does not serve this AutoregressiveNetwork"),
        (lambda: IAF(4, input_order="sideways"), "input_order must be one of .*, got 'sideways'"),
        (lambda: IAF(4, input_order=[1, 2]), "permutation of 1..4"),
        (lambda: IAF(4, input_order=["left-to-right"] * 3), "one for each of the 2 flows, got 3"),
    ],
)
def test_bad_arguments_raise_one_line(function, message):
    with pytest.raises(ValueError, match=message) as error:
        function()
    assert "\n" not in str(error.value)


def test_drawn_orders_in_a_list_are_kept():
    """Not the word "random", from which every load would draw others."""
    posterior = IAF(6, num_flows=3, hidden_units=(8,), input_order=["random", "right-to-left", "random"], seed=0)
    twin = IAF.from_config(json.loads(json.dumps(posterior.get_config())))
    for ours, theirs in zip(posterior.networks, twin.networks):
        np.testing.assert_array_equal(ours.degrees, theirs.degrees)
    assert (posterior.networks[0].degrees != posterior.networks[2].degrees).any()


def test_layers_without_filters_have_a_context():
    assert ConvIAF((4, 4, 2), filters=None).context_channels == ConvIAF((4, 4, 2), filters=()).context_channels == 2
