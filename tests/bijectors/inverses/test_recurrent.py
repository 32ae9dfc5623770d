"""The inverse of flows with recurrent networks, against the sequential one."""

import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tests.bijectors.test_inverse_autoregressive_flow import both_directions
from tfp_iaf.bijectors import InverseAutoregressiveFlow
from tfp_iaf.bijectors import maps as elementwise
from tfp_iaf.networks import RecurrentAutoregressiveNetwork


def make_network(event_size=6, units=7, cell="lstm", context_size=3, order="random", bijector_fn="affine", dtype="float64"):
    params = elementwise.params_of(bijector_fn)
    network = RecurrentAutoregressiveNetwork(params, event_size, units, cell, context_size, order, seed=1, dtype=dtype)
    network.build()
    properties.randomize(network)
    return network


def values(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape))


def check_against_the_sequential(network, z, context, inverse, bijector_fn="affine"):
    """Values, and gradients with respect to z, context and weights."""
    fast, other = (both_directions(network, z, context, method, bijector_fn) for method in (inverse, "sequential"))
    for ours, expected in zip(fast, other):
        np.testing.assert_allclose(ours, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("inverse", ["incremental", "fixed_point"])
@pytest.mark.parametrize("order", ["left-to-right", "random"])
@pytest.mark.parametrize(("cell", "units", "context_size"), [("lstm", 7, 3), ("gru", (5, 4), None)])
def test_fast_inverses_equal_the_sequential_with_their_gradients(cell, units, context_size, order, inverse):
    for event_size in (1, 5):
        network = make_network(event_size, units, cell, context_size, order)
        context = None if context_size is None else values(4, context_size)
        check_against_the_sequential(network, values(2, 4, event_size), context, inverse)


@pytest.mark.parametrize("bijector_fn", ["gated", "location", "spline"])
def test_incremental_inverse_of_every_map(bijector_fn):
    network = make_network(bijector_fn=bijector_fn)
    check_against_the_sequential(network, values(4, 6), values(4, 3), "incremental", bijector_fn)


@pytest.mark.parametrize(("inverse", "jit_compile"), [("incremental", False), ("incremental", True), ("fixed_point", True)])
def test_gradients_in_graphs_equal_those_in_eager_mode(inverse, jit_compile):
    network = make_network(event_size=4)
    z, context = values(4, 4), values(4, 3)
    function = tf.function(lambda z, c: both_directions(network, z, c, inverse), jit_compile=jit_compile)
    for ours, expected in zip(function(z, context), both_directions(network, z, context, "incremental")):
        np.testing.assert_allclose(ours, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("decorate", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_second_derivatives(decorate):
    network = make_network()
    context = values(3)

    def second_derivatives(z, inverse):
        with tf.GradientTape() as outer:
            outer.watch(z)
            with tf.GradientTape() as inner:
                inner.watch(z)
                _, log_det = InverseAutoregressiveFlow(network, context=context, inverse=inverse).inverse_and_log_det(z)
            slopes = tf.reduce_sum(tf.sin(inner.gradient(log_det, z)))
        return outer.gradient(slopes, z)

    expected = second_derivatives(values(6), "sequential")
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(decorate(second_derivatives)(values(6), "incremental"), expected, atol=1e-9)


@pytest.mark.parametrize(("cell", "units"), [("lstm", 7), ("gru", (5, 4))])
def test_empty_batches(cell, units):
    """Of a static and of an unknown size, in both directions, with zero gradients."""
    flow = InverseAutoregressiveFlow(make_network(units=units, cell=cell), context=values(3))

    def both(y):
        with tf.GradientTape() as tape:
            z, log_det = flow.forward_and_log_det(y)
            back, _ = flow.inverse_and_log_det(z)
            loss = tf.reduce_sum(back) + tf.reduce_sum(log_det)
        return z, log_det, back, tape.gradient(loss, flow.trainable_variables)

    for function in (both, tf.function(both, input_signature=[tf.TensorSpec([None, 6], tf.float64)])):
        z, log_det, back, gradients = function(tf.zeros([0, 6], tf.float64))
        assert z.shape == back.shape == (0, 6)
        assert log_det.shape == (0,)
        assert all((gradient.numpy() == 0).all() for gradient in gradients)


def test_auto_is_incremental_where_the_arithmetic_allows():
    z = values(4, 6)
    for dtype, expected in {"float64": "incremental", "mixed_bfloat16": "fixed_point"}.items():
        network = make_network(context_size=None, dtype=dtype)
        for decorate in (tf.function, lambda function: function):
            results = []
            for inverse in ("auto", expected):
                flow = InverseAutoregressiveFlow(network, inverse=inverse)
                results.append(decorate(flow.inverse)(tf.cast(z, flow.dtype)))
            np.testing.assert_array_equal(*results)
    with pytest.raises(ValueError, match="computes in bfloat16: use inverse='auto'"):
        InverseAutoregressiveFlow(network, inverse="incremental")


def test_an_incremental_inverse_never_evaluates_the_network():
    network = make_network()
    flow = InverseAutoregressiveFlow(network, context=values(4, 3))
    network.call = None
    flow.inverse_and_log_det(values(4, 6))


def test_vectorized_map_over_contexts():
    flow = InverseAutoregressiveFlow(make_network(), context=values(3))
    contexts, z = values(4, 3), values(4, 6)
    for name in ("forward_and_log_det", "inverse_and_log_det"):
        ours = tf.vectorized_map(lambda pair, name=name: getattr(flow.copy(context=pair[0]), name)(pair[1]), (contexts, z))
        for value, expected in zip(ours, getattr(flow.copy(context=contexts), name)(z)):
            np.testing.assert_allclose(value, expected, atol=1e-12)
