"""Invariants of all bijectors: values, log-determinants, modes of execution, gradients, fresh values."""

import gc

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import cases, properties
from tests.bijectors.constructors import BIJECTORS, DISTINCT, FLOWS, NoInverse, OwnNetwork, flow_on
from tfp_iaf import _compat
from tfp_iaf.bijectors import AdditiveCoupling, FlowBijector, HamiltonianFlow, InverseAutoregressiveFlow, maps
from tfp_iaf.networks import AutoregressiveNetwork, RecurrentAutoregressiveNetwork

tfb = tfp.bijectors
tfd = tfp.distributions

every_bijector = cases.parametrize("make", BIJECTORS)
every_flow = cases.parametrize("make", FLOWS)
DISTINCT_FLOWS = {name: make for name, make in FLOWS.items() if not make.is_variant}
different_bijectors = pytest.mark.parametrize("make", DISTINCT.values(), ids=DISTINCT)
different_flows = pytest.mark.parametrize("make", DISTINCT_FLOWS.values(), ids=DISTINCT_FLOWS)


def check_equal(ours, expected, atol=1e-9):
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), ours, expected)


@every_bijector
def test_round_trip_and_log_det(make):
    """The log_det is that of the Jacobian by automatic differentiation, and triangular in the order of a flow's network."""
    batched = make((2, 3))
    properties.check_round_trip(batched, make.events(2, 3), atol=1e-8, event_ndims=make.event_ndims)
    batch_shape = (2, 3) if make.has_batch_shape else ()
    assert batched.experimental_batch_shape() == batch_shape
    assert tuple(batched.experimental_batch_shape_tensor()) == batch_shape
    bijector, y = make(), make.events()
    jacobian = properties.jacobian(bijector.forward, y)
    sign, log_det = np.linalg.slogdet(jacobian)
    assert sign != 0
    check_equal(bijector.forward_log_det_jacobian(properties.fresh(y), event_ndims=make.event_ndims), log_det)
    if make in FLOWS.values():
        degrees = np.ravel(bijector.network.degrees)
        reads_later_entries = degrees[None, :] > degrees[:, None]
        np.testing.assert_array_equal(jacobian[reads_later_entries], 0.0)
        assert (np.diag(jacobian) > 0).all()
        if make.event_ndims == 1:
            assert (jacobian[~reads_later_entries] != 0).all()
        else:
            # Some entry depends on a pixel of the row above, or of the moment before.
            assert np.count_nonzero(jacobian) > 1.5 * degrees.size


@different_bijectors
def test_empty_batches(make):
    bijector, y = make((2, 0)), make.events(2, 0)
    assert bijector.experimental_batch_shape() == ((2, 0) if make.has_batch_shape else ())
    (z, log_det), (back, log_det_at_z) = bijector.forward_and_log_det(y), bijector.inverse_and_log_det(y)
    assert z.shape == back.shape == y.shape
    assert log_det.shape == log_det_at_z.shape == (2, 0)
    assert tfd.TransformedDistribution(make.base(2, 0), bijector).log_prob(z).shape == (2, 0)


@every_flow
def test_events_and_contexts_broadcast(make):
    """Also in the map: a spline needs the batch shape of both."""
    flow = make((3, 1))
    if flow.context is None:
        return
    y = make.events(2)
    repeated = tf.broadcast_to(y, [3, 2, *make.event_shape])
    for function in (flow.forward_and_log_det, flow.inverse_and_log_det):
        check_equal(function(y), function(repeated))
    z, log_derivatives = flow.forward_and_log_derivatives(y)
    assert z.shape == log_derivatives.shape == repeated.shape


# XLA takes seconds for each.
@cases.parametrize("make", DISTINCT, set(DISTINCT) - {"affine", "recurrent"})
def test_eager_graph_and_xla_agree(make):
    """Of every map: `test_maps.py`."""
    bijector = make((3,))

    def both(y):
        return bijector.forward_and_log_det(y), bijector.inverse_and_log_det(y)

    properties.check_modes_agree(both, make.events(3).numpy(), atol=1e-9)


@different_bijectors
def test_transformed_distribution(make):
    base = make.base(3)
    distribution = tfd.TransformedDistribution(base, tfb.Chain([make((3,), seed=1), tfb.Invert(make((3,)))]))
    assert (distribution.batch_shape, distribution.event_shape) == ([3], make.event_shape)
    z, log_prob = distribution.experimental_sample_and_log_prob((4, 2), seed=[0, 1])
    assert z.shape == (4, 2, 3, *make.event_shape)
    check_equal(distribution.log_prob(properties.fresh(z)), log_prob, atol=1e-7)
    check_equal(distribution[1:].log_prob(properties.fresh(z[:, :, 1:])), log_prob[:, :, 1:], atol=1e-7)


# One evaluation


class CountingNetwork(OwnNetwork):
    """Counts its evaluations where they happen, in compiled functions as well."""

    def build(self, input_shape=None):
        super().build(input_shape)
        self.count = tf.Variable(0, trainable=False)

    def call(self, y, context=None):
        # XLA takes a variable, but no tf.py_function.
        self.count.assign_add(1)
        return super().call(y, context=context)


@pytest.mark.compiled
@pytest.mark.parametrize("wrap", [lambda flow: flow, lambda flow: tfb.Chain([tfb.Shift(tf.ones([], tf.float64)), flow])])
@pytest.mark.parametrize("mode", ["eager", "graph", "XLA"])
def test_a_sample_and_its_density_take_one_evaluation(mode, wrap):
    network = CountingNetwork(5, 3, dtype="float64")
    bijector = wrap(flow_on(network, (3,)))
    distribution = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros([3, 5], tf.float64)), bijector)

    def sample():
        return distribution.experimental_sample_and_log_prob(seed=[0, 1])

    def sample_first():
        z = distribution.sample(seed=[0, 1])
        return z, distribution.log_prob(z)

    for function in (sample, sample_first):
        if mode != "eager":
            function = tf.function(function, jit_compile=mode == "XLA")
        function()
        network.count.assign(0)
        z, log_prob = function()
        assert network.count.numpy() == 1
        check_equal(distribution.log_prob(properties.fresh(z)), log_prob)


@pytest.mark.compiled
def test_forward_takes_one_evaluation_and_an_inverse_at_most_one_more_than_entries():
    network = CountingNetwork(5, 3, dtype="float64")
    for inverse, allowed in {"fixed_point": range(2, 7), "sequential": [6]}.items():
        flow = flow_on(network, (3,), inverse=inverse)
        y = FLOWS["affine"].events(3)
        network.count.assign(0)
        flow.forward_and_log_det(y)
        assert network.count.numpy() == 1
        network.count.assign(0)
        flow.inverse_and_log_det(y)
        assert network.count.numpy() in allowed


# Variables and gradients


@every_flow
def test_variables_are_seen_by_tfp(make):
    flow = make((3,))
    expected = {id(_compat.tf_variable(variable)) for variable in flow.network.trainable_variables}
    for holder in (flow, tfb.Chain([flow]), tfb.Invert(flow), tfd.TransformedDistribution(make.base(3), tfb.Chain([flow]))):
        assert {id(variable) for variable in holder.trainable_variables} == expected


@different_flows
def test_gradients_reach_context_weights_and_inputs_both_ways(make):
    flow, y = make((3,)), make.events(3)
    for function in (flow.forward_and_log_det, flow.inverse_and_log_det):
        with tf.GradientTape() as tape:
            sources = [y, *([] if flow.context is None else [flow.context])]
            tape.watch(sources)
            value, log_det = function(y)
            loss = tf.reduce_sum(tf.sin(value)) + tf.reduce_sum(log_det)
        gradients = tape.gradient(loss, [*sources, *flow.network.trainable_variables])
        assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)
        assert all(np.abs(gradient).max() > 0 for gradient in gradients)


@pytest.mark.parametrize("direction", ["forward_and_log_det", "inverse_and_log_det"])
@different_flows
def test_a_bad_row_spoils_no_other(make, direction):
    flow, y = make((4,)), make.events(4).numpy()
    function = getattr(flow, direction)
    expected, expected_log_det = function(tf.constant(y))
    y[1, ...], y[2, ...], y[3, ...] = np.nan, np.inf, 1e200
    z, log_det = function(tf.constant(y))
    check_equal((z[0], log_det[0]), (expected[0], expected_log_det[0]))


# Fresh values


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["affine", "recurrent", "images"])
@pytest.mark.parametrize(
    "wrap",
    [lambda flow: flow, tfb.Invert, lambda flow: tfb.Chain([tfb.Chain([tfb.Shift(tf.ones([], tf.float64)), flow])])],
    ids=["flow", "Invert", "nested Chain"],
)
def test_values_after_a_weight_update_are_fresh(name, wrap):
    """Although all tensors stay alive, which TFP's cache would answer for; and the hash stays."""
    make = FLOWS[name]
    flow = make((3,))
    bijector, before = wrap(flow), hash(flow)
    x, ndims = make.events(3), make.event_ndims

    def values(x):
        return [
            bijector.forward(x),
            bijector.forward_log_det_jacobian(x, event_ndims=ndims),
            bijector.inverse(x),
            bijector.inverse_log_det_jacobian(x, event_ndims=ndims),
        ]

    kept = values(x)
    properties.randomize(flow.network, seed=9)
    check_equal(new := values(x), values(properties.fresh(x)))
    assert np.abs(new[0] - kept[0]).max() > 1e-3
    assert hash(flow) == before


@pytest.mark.compiled
@pytest.mark.parametrize("method", ["forward", "inverse", "forward_log_det_jacobian", "inverse_log_det_jacobian"])
def test_the_weights_are_looked_at_once_per_call(method, monkeypatch):
    looks, original = [], InverseAutoregressiveFlow._look_at_weights
    monkeypatch.setattr(InverseAutoregressiveFlow, "_look_at_weights", lambda flow: looks.append(1) or original(flow))
    flow = FLOWS["affine"]((3,))
    chain = tfb.Chain([FLOWS["affine"]((3,), seed=1), flow])
    arguments = {"event_ndims": 1} if method.endswith("jacobian") else {}
    assert hash(flow) == hash(flow)
    assert flow != chain
    assert not looks
    for bijector, allowed in ((flow, 1), (chain, 6)):
        del looks[:]
        getattr(bijector, method)(FLOWS["affine"].events(3), **arguments)
        assert 1 <= len(looks) <= allowed
    del looks[:]
    flow.forward_and_log_det(FLOWS["affine"].events(3))
    tf.function(getattr(flow, method))(FLOWS["affine"].events(3), **arguments)
    assert not looks


def test_equal_flows_do_not_share_what_they_remember():
    first = FLOWS["affine"]((3,))
    twin = InverseAutoregressiveFlow(first.network, first.context)
    assert first == first
    assert first != twin
    y = FLOWS["affine"].events(3)
    assert twin.forward(y) is not first.forward(y)
    assert first.forward(y) is first.forward(y)


# Memory


@pytest.mark.compiled
@cases.parametrize("name", {name: name for name in ("affine", "recurrent", "images")}, ["recurrent", "images"])
def test_nothing_grows_over_traced_and_deleted_flows(name):
    """Of each kind of network: flows through TFP's distributions too, and the compiled functions behind eager calls."""

    def live():
        gc.collect()
        things = gc.get_objects()
        graphs = sum(isinstance(thing, tf.Graph) for thing in things)
        return graphs, len(tfb.Bijector._cache.storage), sum(isinstance(thing, FlowBijector) for thing in things)

    def trace():
        flow, y = FLOWS[name]((3,)), FLOWS[name].events(3)

        # AutoGraph has nothing to convert here; where it fails (Python 3.13), pytest keeps its warning, and so the graph.
        @tf.function(autograph=False)
        def both(z):
            with tf.GradientTape() as tape:
                tape.watch(z)
                y, log_det = flow.inverse_and_log_det(z)
            return flow.forward_and_log_det(y), tape.gradient(log_det, z)

        both(y)
        with tf.GradientTape() as tape:
            log_det = flow.inverse_and_log_det(y)[1]
        tape.gradient(log_det, flow.trainable_variables)

    trace()
    before = live()
    trace()
    assert np.less_equal(live(), before).all()


# Errors


def test_a_flow_without_inverse_knows_the_density_of_its_samples_alone():
    q = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros([3])), NoInverse())
    z, log_q = q.experimental_sample_and_log_prob(5, seed=[0, 1])
    check_equal(log_q, q.distribution.log_prob(z / 2.0) - 3.0 * np.log(2.0), atol=1e-6)
    for function in (q.bijector.inverse, q.log_prob, q.bijector.inverse_and_log_det):
        with pytest.raises(NotImplementedError, match="no_inverse has no inverse"):
            function(properties.fresh(z))
    with pytest.raises(NotImplementedError, match="no sum over the event"):
        q.bijector.forward_and_log_derivatives(z)


def test_a_recurrent_network_without_entries_to_read():
    """D = 1, where every network is a constant."""
    network = RecurrentAutoregressiveNetwork(2, 1, 4, dtype="float64")
    flow = flow_on(network)
    y = tf.constant([[0.3], [-1.0]], tf.float64)
    check_equal(flow.inverse(properties.fresh(flow.forward(y))), y)


def test_a_subclass_with_another_forward_direction_inherits_no_inverse_and_no_score():
    network = AutoregressiveNetwork(2, event_shape=3, hidden_units=(4,))

    class Twice(InverseAutoregressiveFlow):
        def forward_and_log_det(self, y):
            z, log_det = super().forward_and_log_det(y)
            return 2.0 * z, log_det + 3.0 * np.log(2.0)

    class WithInverse(Twice):
        def inverse_and_log_det(self, z):
            y, log_det = InverseAutoregressiveFlow.inverse_and_log_det(self, 0.5 * z)
            return y, log_det + 3.0 * np.log(2.0)

    y = tf.constant([[0.1, -0.4, 1.2]])
    flow = WithInverse(network)
    z, _, score = flow.forward_and_score(y, -y)
    np.testing.assert_allclose(z, flow.forward(y))
    np.testing.assert_allclose(flow.inverse(tf.identity(z)), y, atol=1e-5)
    plain = InverseAutoregressiveFlow(network).forward_and_score(y, -y)
    np.testing.assert_allclose(score, plain[2] / 2.0, atol=1e-5)
    with pytest.raises(NotImplementedError, match="has no inverse"):
        Twice(network).inverse_and_log_det(y)
    with pytest.raises(NotImplementedError, match="is no sum over the event's entries"):
        Twice(network).forward_and_log_derivatives(y)


def test_a_flow_of_ones_own_on_a_keras_layer():
    """It gives fresh values, and shows the variables that it keeps."""

    class Scaled(FlowBijector):
        def __init__(self, layer, name="scaled"):
            parameters = dict(locals())
            self.layer = layer
            self.weights_of_layer = tuple(weight.value for weight in layer.trainable_weights)
            super().__init__(forward_min_event_ndims=1, dtype=tf.float32, parameters=parameters, name=name)

        @classmethod
        def _parameter_properties(cls, dtype):
            return {}

        def forward_and_log_det(self, y):
            log_scale = self.layer(tf.ones([1, 1]))[0]
            return y * tf.exp(log_scale), tf.reduce_sum(log_scale) * tf.ones_like(y[..., 0])

    layer, y = keras.layers.Dense(3), tf.ones([5, 3])
    layer.build((None, 1))
    flow = Scaled(layer)
    before = flow.forward(y)
    layer.kernel.assign_add(tf.ones([1, 3]))
    np.testing.assert_allclose(flow.forward(y), np.e * before, rtol=1e-5)
    assert len(tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros([3])), flow).trainable_variables) == 2


def test_a_subclass_with_other_log_derivatives_has_their_log_det_and_no_inverse():
    class Twice(InverseAutoregressiveFlow):
        def forward_and_log_derivatives(self, y):
            z, log_derivatives = super().forward_and_log_derivatives(y)
            return 2.0 * z, log_derivatives + np.log(2.0)

    network = AutoregressiveNetwork(2, event_shape=3)
    flow, plain = Twice(network), InverseAutoregressiveFlow(network)
    y = tf.constant([[0.1, -0.4, 1.2]])
    (z, log_det), expected = flow.forward_and_log_det(y), plain.forward_and_log_det(y)
    np.testing.assert_allclose(z, 2.0 * expected[0])
    np.testing.assert_allclose(log_det, expected[1] + 3.0 * np.log(2.0), rtol=1e-6)
    with pytest.raises(NotImplementedError, match="has no inverse"):
        flow.inverse(z)


@pytest.mark.parametrize("shape_of", [lambda y: [*y.shape[:-1], 1], lambda y: [], lambda y: y.shape[:-1]])
def test_a_map_whose_log_derivatives_have_another_shape_is_refused(shape_of):
    """One number in place of D gave a log_det too small by a factor of D, silently."""

    class Twice(maps.ElementwiseMap):
        params = 1

        def forward(self, y, parameters):
            return 2.0 * y + parameters[..., 0], tf.fill(shape_of(y), np.float32(np.log(2.0)))

        def inverse(self, z, parameters):
            return (z - parameters[..., 0]) / 2.0, tf.fill(shape_of(z), np.float32(np.log(2.0)))

    flow = InverseAutoregressiveFlow(AutoregressiveNetwork(1, event_shape=4), bijector_fn=Twice())
    for function in (flow.forward_and_log_det, flow.forward, flow.inverse, tf.function(flow.inverse_and_log_det)):
        with pytest.raises(ValueError, match=r"Twice must return a value and a log-derivative of the shape .* \(3, 4\), got"):
            function(tf.ones([3, 4]))


def test_a_map_with_another_forward_direction_needs_an_inverse():
    class Twice(maps.Affine):
        def forward(self, y, parameters):
            z, log_derivative = super().forward(y, parameters)
            return 2.0 * z, log_derivative + np.log(2.0)

    with pytest.raises(TypeError, match=r"abstract.* inverse"):
        Twice()


def test_values_are_fresh_where_a_function_reads_a_variable():
    """TFP is shown no variable of a function."""
    variable = tf.Variable(1.0)
    y = tf.constant([[1.0, 2.0]])
    for flow in (
        HamiltonianFlow(lambda x: -0.5 * variable * tf.reduce_sum(x**2, axis=-1), step_size=0.5),
        AdditiveCoupling(lambda x: variable * x, [True, False]),
    ):
        before = flow.forward(y)
        variable.assign_add(3.0)
        assert np.abs(flow.forward(y) - before).max() > 0.1
        np.testing.assert_allclose(flow.inverse(tf.identity(flow.forward(y))), y, atol=1e-5)
