import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties, reference
from tfp_iaf.bijectors import InverseAutoregressiveFlow
from tfp_iaf.bijectors import maps as elementwise
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


def both_directions(network, z, context, inverse, bijector_fn="affine"):
    """(y, log_det) of the inverse, and the gradients of a function of both with respect to z, context and weights."""
    flow = InverseAutoregressiveFlow(network, context=context, bijector_fn=bijector_fn, inverse=inverse)
    sources = [z, *([] if context is None else [context]), *flow.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        y, log_det = flow.inverse_and_log_det(z)
        loss = tf.reduce_sum(tf.sin(y)) + tf.reduce_sum(log_det**2)
    return [y, log_det, *tape.gradient(loss, sources, unconnected_gradients="zero")]


NETWORKS = {
    "two layers": {"hidden_units": (20, 20)},
    "three residual layers": {"hidden_units": (20, 20, 20), "residual": True},
    "residual where widths agree": {"hidden_units": (16, 16, 5), "residual": True},
    "narrow": {"hidden_units": (7, 3)},
    "linear": {"hidden_units": ()},
    "no biases": {"hidden_units": (20,), "use_bias": False, "activation": "tanh"},
    "blocks": {"hidden_units": (40, 40), "num_blocks": 2},
    "weight normalization": {"hidden_units": (40, 40), "num_blocks": 2, "weight_norm": True},
}


@pytest.mark.parametrize("inverse", ["incremental", "fixed_point"])
@pytest.mark.parametrize("context_size", [None, 3])
@pytest.mark.parametrize("order", ["left-to-right", "random"])
@pytest.mark.parametrize("kwargs", NETWORKS.values(), ids=NETWORKS)
def test_fast_inverses_equal_the_sequential_with_their_gradients(kwargs, order, context_size, inverse):
    rng = np.random.default_rng(0)
    for event_size in (1, 2, 11):
        network = AutoregressiveNetwork(2, event_size, context_size=context_size, input_order=order, dtype="float64", **kwargs)
        network.build()
        properties.randomize(network)
        z = tf.constant(rng.normal(size=[2, 4, event_size]))
        context = None if context_size is None else tf.constant(rng.normal(size=[4, context_size]))
        fast, sequential = (both_directions(network, z, context, method) for method in (inverse, "sequential"))
        for ours, other in zip(fast, sequential):
            np.testing.assert_allclose(ours, other, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("inverse", ["incremental", "fixed_point"])
@pytest.mark.parametrize("bijector_fn", ["affine", "gated", "location", "spline"])
def test_fast_inverses_of_every_map(bijector_fn, inverse):
    rng = np.random.default_rng(0)
    network = AutoregressiveNetwork(elementwise.params_of(bijector_fn), 9, (27, 27), context_size=3, dtype="float64")
    network.build()
    properties.randomize(network)
    z, context = tf.constant(rng.normal(size=[4, 9])), tf.constant(rng.normal(size=[4, 3]))
    fast, sequential = (both_directions(network, z, context, method, bijector_fn) for method in (inverse, "sequential"))
    for ours, other in zip(fast, sequential):
        np.testing.assert_allclose(ours, other, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("event_size", [64, 256])
def test_incremental_inverse_at_size(event_size):
    """Error under 1e-9 in float64, under 1e-5 of the values in float32, the weights those of a strong flow."""
    rng = np.random.default_rng(0)
    for dtype, tolerance in (("float64", 1e-9), ("float32", 1e-5)):
        network = AutoregressiveNetwork(2, event_size, (2 * event_size, 2 * event_size), context_size=16, dtype=dtype)
        network.build()
        properties.randomize(network, scale=0.7)
        z, context = (tf.constant(rng.normal(size=[8, size]), dtype) for size in (event_size, 16))
        flows = [InverseAutoregressiveFlow(network, context=context, inverse=name) for name in ("incremental", "sequential")]
        (ours, log_det), (other, other_log_det) = (flow.inverse_and_log_det(z) for flow in flows)
        for value, expected in ((ours, other), (log_det, other_log_det)):
            np.testing.assert_allclose(value, expected, atol=tolerance * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("shapes", [([None, None], [None, None]), (None, [None, 3])], ids=str)
def test_blocks_and_context_of_unknown_shape_with_their_gradients(shapes):
    network = AutoregressiveNetwork(2, 6, (20, 20), context_size=3, num_blocks=3, dtype="float64")
    network.build()
    properties.randomize(network)

    def both_ways(z, context):
        flow = InverseAutoregressiveFlow(network, context=context, inverse="incremental")
        with tf.GradientTape() as tape:
            y, log_det = flow.inverse_and_log_det(z)
            again, _ = flow.forward_and_log_det(tf.sin(y))
            loss = tf.reduce_sum(again**2) + tf.reduce_sum(log_det)
        return [y, log_det, *tape.gradient(loss, flow.trainable_variables)]

    z, context = (np.random.default_rng(0).normal(size=[4, size]) for size in (6, 3))
    signature = [tf.TensorSpec(shape, tf.float64) for shape in shapes]
    traced = tf.function(both_ways, input_signature=signature)(z, context)
    for ours, expected in zip(traced, both_ways(tf.constant(z), tf.constant(context))):
        np.testing.assert_allclose(ours, expected, atol=1e-9)


@pytest.mark.parametrize("inverse", ["incremental", "fixed_point", "sequential"])
def test_a_float32_flow_inside_a_model_of_mixed_precision(inverse):
    network = AutoregressiveNetwork(2, 4, (8,), context_size=3)
    network.build()
    properties.randomize(network)
    z, context = (np.random.default_rng(0).normal(size=[5, size]).astype("float32") for size in (4, 3))
    expected = InverseAutoregressiveFlow(network, context=context, inverse="sequential").inverse(z)

    class Inverting(keras.layers.Layer):
        def call(self, _):
            return InverseAutoregressiveFlow(network, context=context, inverse=inverse).inverse(z)

    ours = tf.function(Inverting(dtype="mixed_bfloat16"))(z)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_auto_is_incremental_in_graphs_where_the_arithmetic_allows():
    z = np.random.default_rng(0).normal(size=[4, 6])
    for dtype, in_graph in {"float32": "incremental", "float64": "incremental", "mixed_bfloat16": "fixed_point"}.items():
        network = AutoregressiveNetwork(2, 6, (12,), dtype=dtype)
        for decorate, expected in ((tf.function, in_graph), (lambda function: function, "fixed_point")):
            results = []
            for inverse in ("auto", expected):
                flow = InverseAutoregressiveFlow(network, inverse=inverse)
                results.append(decorate(flow.inverse)(tf.constant(z, flow.dtype)))
            np.testing.assert_array_equal(*results)
    with pytest.raises(ValueError, match="computes in bfloat16: use inverse='auto'"):
        InverseAutoregressiveFlow(network, inverse="incremental")


def test_gradients_at_the_solution_itself():
    """At z = 0 with this network the iteration has nothing to do, and a differentiated loop would give no gradient."""
    network = AutoregressiveNetwork(1, 6, (12,), activation="tanh", use_bias=False, dtype="float64")
    network.build()
    properties.randomize(network)
    z = tf.zeros([1, 6], tf.float64)
    gradients = [both_directions(network, z, None, name, "location")[2] for name in ("fixed_point", "sequential")]
    np.testing.assert_allclose(*gradients, atol=1e-12)
    assert np.abs(gradients[0] - 1.0).max() > 1e-3


def test_second_derivatives_of_an_iterative_inverse_are_refused():
    flow, _ = make("affine", "left-to-right", 3)
    z = tf.zeros([4, 6], tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(z)
        with tf.GradientTape() as inner:
            inner.watch(z)
            _, log_det = flow.inverse_and_log_det(z)
        slope = inner.gradient(log_det, z)
    with pytest.raises(LookupError, match="inverse='sequential'"):
        outer.gradient(slope, z)


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
