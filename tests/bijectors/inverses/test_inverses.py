"""The fast inverses against the sequential one, with their gradients."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests import cases, properties
from tests.bijectors.constructors import normals
from tfp_iaf.bijectors import InverseAutoregressiveFlow, inverses, maps
from tfp_iaf.networks import AutoregressiveNetwork, ConvAutoregressiveNetwork, RecurrentAutoregressiveNetwork
from tfp_iaf.posteriors import IAF
from tfp_iaf.priors import AutoregressiveFlow

dense = functools.partial(AutoregressiveNetwork, activation="elu", seed=1, dtype="float64")
recurrent = functools.partial(RecurrentAutoregressiveNetwork, input_order="random", seed=1, dtype="float64")


def both_directions(network, z, context, inverse, bijector_fn="affine"):
    """(y, log_det) of the inverse, and the gradients of a function of both with respect to z, context and weights."""
    flow = InverseAutoregressiveFlow(network, context=context, bijector_fn=bijector_fn, inverse=inverse)
    sources = [z, *([] if context is None else [context]), *flow.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        y, log_det = flow.inverse_and_log_det(z)
        loss = tf.reduce_sum(tf.sin(y)) + tf.reduce_sum(log_det**2)
    return [y, log_det, *tape.gradient(loss, sources, unconnected_gradients="zero")]


def check_against_the_sequential(network, inverse, bijector_fn="affine", scale=0.5, batch_shape=(2, 4)):
    network.build()
    properties.randomize(network, scale=scale)
    z = normals(*batch_shape, *network.event_shape)
    context = None if network.context_size is None else normals(*batch_shape[1:], *network.context_shape, seed=4)
    # Traced: the loop of the sequential one runs D evaluations.
    results = [
        tf.function(lambda method=method: both_directions(network, z, context, method, bijector_fn), autograph=False)()
        for method in (inverse, "sequential")
    ]
    for ours, expected in zip(*results):
        np.testing.assert_allclose(ours, expected, atol=1e-9 * max(1.0, np.abs(expected).max()), rtol=1e-9)


# What changes the algorithm of the inverse in blocks: layers, skips, degrees without units, units that the context alone feeds.
NETWORKS = {
    "two layers": (11, {"hidden_units": (20, 20), "context_size": 3}),
    "random order, no context": (11, {"hidden_units": (20, 20), "input_order": "random"}),
    "three residual layers": (11, {"hidden_units": (20, 20, 20), "residual": True, "context_size": 3}),
    "residual where widths agree": (11, {"hidden_units": (16, 16, 5), "residual": True}),
    "narrow": (11, {"hidden_units": (7, 3), "input_order": "random", "context_size": 3}),
    "linear": (11, {"hidden_units": (), "context_size": 3}),
    "no biases": (11, {"hidden_units": (20,), "use_bias": False, "activation": "tanh"}),
    "random degrees": (11, {"hidden_units": (20, 20), "hidden_degrees": "random", "input_order": "random"}),
    "context in all layers": (11, {"hidden_units": (20, 20), "context_size": 3, "conditional_input_layers": "all_layers"}),
    "weight normalization": (11, {"hidden_units": (40, 40), "weight_norm": True, "context_size": 3}),
    "one entry": (1, {"hidden_units": (20,), "context_size": 3}),
    "two entries": (2, {"hidden_units": (20,)}),
    "several blocks": (37, {"hidden_units": (50, 50), "input_order": "random", "context_size": 3}),
    "several blocks from right to left": (37, {"hidden_units": (50, 50), "input_order": "right-to-left"}),
}
FEW = ["two layers", "three residual layers", "linear", "random degrees", "weight normalization", "one entry", "several blocks"]


@cases.parametrize(("event_size", "arguments"), NETWORKS, set(NETWORKS) - set(FEW))
def test_blocks_equal_the_sequential_inverse_with_its_gradients(event_size, arguments):
    check_against_the_sequential(dense(2, event_size, **arguments), "blocks")


@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e-8])
@pytest.mark.parametrize("inverse", ["blocks", "fixed_point", "sequential"])
def test_entries_in_small_units_are_inverted_as_exactly(inverse, unit):
    """A search that takes 1e-7 for rounding is off by all of y, and by nats, where y is of that size."""
    network = AutoregressiveNetwork(2, 8, (32,), activation="tanh")
    network.build()
    rng = np.random.default_rng(0)
    network.hidden_layers[0].weights[0].assign(rng.normal(size=(8, 32)) / unit)
    kernel = 0.3 * rng.normal(size=(32, 16))
    kernel[:, ::2] *= unit  # The shifts.
    network.output_layer.weights[0].assign(kernel)
    flow = InverseAutoregressiveFlow(network, inverse=inverse)
    y = tf.constant(unit * rng.normal(size=[500, 8]), tf.float32)
    z, log_det = flow.forward_and_log_det(y)
    back, log_det_at_z = flow.inverse_and_log_det(tf.identity(z))
    np.testing.assert_allclose(back, y, atol=1e-5 * unit)
    np.testing.assert_allclose(log_det_at_z, log_det, atol=1e-5)


@pytest.mark.parametrize("bijector_fn", ["gated", "location", "monotone", pytest.param("spline", marks=pytest.mark.long)])
def test_every_map(bijector_fn):
    """In blocks, whose adjoint differentiates the map by itself."""
    check_against_the_sequential(dense(maps.get(bijector_fn).params, 4, (9, 9), context_size=3), "blocks", bijector_fn)


@pytest.mark.parametrize(
    "network",
    [
        functools.partial(dense, 2, 11, (20, 20), context_size=3),
        functools.partial(ConvAutoregressiveNetwork, 2, (2, 3, 2), (6, 6), context_channels=3, dtype="float64"),
        functools.partial(ConvAutoregressiveNetwork, 2, (5, 2), (), input_order="right-to-left", dtype="float64"),
        functools.partial(recurrent, 2, 3, 7, "lstm", 3),
    ],
    ids=["dense", "images", "series", "recurrent"],
)
def test_fixed_point_equals_the_sequential_inverse_with_its_gradients(network):
    check_against_the_sequential(network(), "fixed_point")


@pytest.mark.parametrize(
    ("cell", "units", "context_size", "bijector_fn"),
    [("lstm", 7, 3, "affine"), ("gru", (5, 4), None, "gated")],
)
def test_recurrent_equals_the_sequential_inverse_with_its_gradients(cell, units, context_size, bijector_fn):
    network = recurrent(maps.get(bijector_fn).params, 4, units, cell, context_size)
    check_against_the_sequential(network, "recurrent", bijector_fn)


@pytest.mark.parametrize(("event_size", "hidden_units", "context_size"), [(1, (8,), None), (1, (8,), 3), (64, (4,), None)])
def test_blocks_without_inputs_or_units(event_size, hidden_units, context_size):
    """In float32 TensorFlow fuses a product with a sum, and an empty one ended the process."""
    network = AutoregressiveNetwork(2, event_size, hidden_units, context_size)
    flow = InverseAutoregressiveFlow(network, context=None if context_size is None else tf.ones([16, context_size]))
    z, score = tf.ones([16, event_size]), tf.zeros([16, event_size])

    @tf.function
    def results():
        with tf.GradientTape() as tape:
            y = flow.inverse_and_log_det(z)[0]
        return tape.gradient(y, network.trainable_variables), flow.forward_and_score(y, score)[0]

    gradients, again = results()
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    np.testing.assert_allclose(again, z, atol=1e-5)


class OwnInverse(inverses.Sequential):
    pass


@pytest.mark.parametrize("make", [lambda inverse: IAF(2, inverse=inverse), lambda inverse: AutoregressiveFlow(inverse=inverse)])
def test_an_inverse_is_kept_by_its_name(make):
    assert make(inverses.Sequential()).get_config()["inverse"] == "sequential"
    with pytest.raises(ValueError, match="OwnInverse has no name that a file could hold"):
        make(OwnInverse()).get_config()


@pytest.mark.parametrize("scale", [2.0, 5.0])
@pytest.mark.parametrize("inverse", ["blocks", "fixed_point"])
def test_strongly_coupled_flows(inverse, scale):
    """Weights many times those of trained flows: the search takes as many iterations as there are entries, and stays exact.

    At scale 5 the solution's entries differ by many orders of magnitude, so that plain iterations overflow on their way.
    """
    network = dense(2, 19, (40, 40), context_size=3)
    check_against_the_sequential(network, inverse, scale=scale, batch_shape=(1, 4))


@pytest.mark.parametrize("event_size", [64, pytest.param(256, marks=pytest.mark.long)])
def test_blocks_at_size(event_size):
    """Error under 1e-9 in float64, under 1e-5 of the values in float32, the weights those of a strong flow."""
    for dtype, tolerance in (("float64", 1e-9), ("float32", 1e-5)):
        network = AutoregressiveNetwork(
            2, event_size, (2 * event_size, 2 * event_size), context_size=16, activation="elu", dtype=dtype
        )
        network.build()
        properties.randomize(network, scale=0.7)
        z, context = (tf.cast(normals(8, size), dtype) for size in (event_size, 16))
        flows = [InverseAutoregressiveFlow(network, context=context, inverse=name) for name in ("blocks", "sequential")]
        (ours, log_det), (other, other_log_det) = (flow.inverse_and_log_det(z) for flow in flows)
        for value, expected in ((ours, other), (log_det, other_log_det)):
            np.testing.assert_allclose(value, expected, atol=tolerance * np.abs(expected).max(), rtol=0)


def test_images_at_size_in_float32():
    """16 x 16 x 8, to 1e-5 of the values."""
    network = ConvAutoregressiveNetwork(2, (16, 16, 8), (32,), context_channels=4)
    network.build()
    properties.randomize(network)
    y, context = (tf.cast(normals(2, 16, 16, channels), tf.float32) for channels in (8, 4))
    flow = InverseAutoregressiveFlow(network, context)
    z, log_det = flow.forward_and_log_det(y)
    back, log_det_at_z = flow.inverse_and_log_det(z)
    np.testing.assert_allclose(back, y, atol=1e-5 * np.abs(y).max())
    np.testing.assert_allclose(log_det_at_z, log_det, rtol=1e-5)


@pytest.mark.parametrize("shapes", [([None, None], [None, None]), (None, [None, 3])], ids=str)
def test_events_and_contexts_of_unknown_shape_with_their_gradients(shapes):
    network = dense(2, 6, (20, 20), context_size=3)
    network.build()
    properties.randomize(network)

    def both_ways(z, context):
        return both_directions(network, z, context, "blocks")

    z, context = normals(4, 6), normals(4, 3)
    signature = [tf.TensorSpec(shape, tf.float64) for shape in shapes]
    traced = tf.function(both_ways, input_signature=signature, autograph=False)(z, context)
    for ours, expected in zip(traced, both_ways(z, context)):
        np.testing.assert_allclose(ours, expected, atol=1e-9)


@pytest.mark.parametrize(("inverse", "network"), [("blocks", dense(2, 6, (20,))), ("recurrent", recurrent(2, 4, 6))])
def test_gradients_under_xla(inverse, network):
    network.build()
    properties.randomize(network)
    z = normals(4, *network.event_shape)
    function = tf.function(lambda z: both_directions(network, z, None, inverse), jit_compile=True, autograph=False)
    for ours, expected in zip(function(z), both_directions(network, z, None, inverse)):
        np.testing.assert_allclose(ours, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("inverse", ["blocks", "fixed_point"])
def test_gradients_at_the_solution_itself(inverse):
    """At z = 0 with this network the iteration has nothing to do, and a differentiated loop would give no gradient."""
    network = AutoregressiveNetwork(1, 6, (12,), activation="tanh", use_bias=False, dtype="float64")
    network.build()
    properties.randomize(network)
    z = tf.zeros([1, 6], tf.float64)
    gradients = [both_directions(network, z, None, name, "location")[2] for name in (inverse, "sequential")]
    np.testing.assert_allclose(*gradients, atol=1e-12)
    assert np.abs(gradients[0] - 1.0).max() > 1e-3


@pytest.mark.parametrize(
    ("inverse", "decorate"), [("fixed_point", lambda f: f), ("blocks", functools.partial(tf.function, autograph=False))]
)
def test_second_derivatives_of_a_search_are_refused(inverse, decorate):
    network = dense(2, 6, (12,))
    network.build()
    properties.randomize(network)
    flow = InverseAutoregressiveFlow(network, inverse=inverse)

    def second_derivatives(z):
        with tf.GradientTape() as outer:
            outer.watch(z)
            with tf.GradientTape() as inner:
                inner.watch(z)
                _, log_det = flow.inverse_and_log_det(z)
            slope = inner.gradient(log_det, z)
        return outer.gradient(slope, z)

    with pytest.raises(LookupError, match="inverse='sequential'"):
        decorate(second_derivatives)(tf.zeros([4, 6], tf.float64))


@pytest.mark.parametrize("inverse", ["blocks", "fixed_point", "sequential"])
def test_bad_rows_spoil_no_other_row_nor_its_gradients(inverse):
    network = dense(2, 11, (20, 20), context_size=3)
    network.build()
    properties.randomize(network, scale=1.0)
    context = normals(5, 3, seed=4)
    z = normals(5, 11).numpy()
    expected = both_directions(network, tf.constant(z), context, inverse)
    # The derivative of the loss at a bad row is no number: the weights' gradients, which sum over rows, are left out.
    z[1, 3], z[2, 0], z[3, 5], z[4, :] = np.nan, np.inf, -np.inf, 1e300
    ours = both_directions(network, tf.constant(z), context, inverse)
    for value, other in zip(ours[:4], expected[:4]):
        np.testing.assert_allclose(value[0], other[0], rtol=1e-9, atol=1e-9)
    assert np.isnan(ours[0][1, 3:]).any()


def test_gradients_stay_finite_where_the_transposed_iteration_overflows():
    """Entries that are not exact yet grow by two orders of magnitude per evaluation."""
    size = 128
    network = AutoregressiveNetwork(1, event_shape=size)
    network.build((None, size))
    layer = network.output_layer
    layer.set_weights([np.full(weight.shape, -1.9 if len(weight.shape) > 1 else 0.0) for weight in layer.get_weights()])
    z = tf.random.stateless_normal([4, size], seed=[0, 1])
    found = {}
    for inverse in ("fixed_point", "sequential"):
        flow = InverseAutoregressiveFlow(network, bijector_fn="location", inverse=inverse)
        with tf.GradientTape() as tape:
            tape.watch(z)
            y, _ = flow.inverse_and_log_det(z)
            loss = tf.reduce_sum(y**2)
        found[inverse] = y, tape.gradient(loss, z)
    for one, other in zip(*found.values()):
        assert np.isfinite(other).all() and np.abs(other).max() > 1.0
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-2)
