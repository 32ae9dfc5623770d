"""Flows pass into and out of functions, loops, datasets and structures, as TFP's own bijectors do."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from absl import flags

from tests import cases, properties, strategies
from tests.bijectors.constructors import BIJECTORS, CONTEXT_SIZE, DISTINCT, FLOWS
from tfp_iaf.bijectors import InverseAutoregressiveFlow

tfb = tfp.bijectors
tfd = tfp.distributions

COMPOSITE = {name: make for name, make in DISTINCT.items() if hasattr(make(), "_type_spec")}
every_composite = pytest.mark.parametrize("make", COMPOSITE.values(), ids=COMPOSITE)
DISTINCT_FLOWS = {name: make for name, make in FLOWS.items() if not make.is_variant}
every_flow = pytest.mark.parametrize("make", DISTINCT_FLOWS.values(), ids=DISTINCT_FLOWS)


def check_equal(ours, expected, atol=1e-9):
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), ours, expected)


def out_of_a_function(thing):
    return tf.function(lambda: thing, autograph=False)()


def through_a_function(thing):
    return tf.function(lambda thing: thing, autograph=False)(thing)


def out_of_a_strategy(thing):
    strategy = strategies.mirrored_strategy()
    return strategy.experimental_local_results(strategy.run(lambda: thing))[0]


def out_of_a_loop(thing):
    fixed = tf.nest.map_structure(tf.convert_to_tensor, thing, expand_composites=True)
    return tf.while_loop(lambda i, _: i < 2, lambda i, thing: (i + 1, thing), (0, fixed))[1]


def with_stopped_gradients(thing):
    return tf.nest.map_structure(tf.stop_gradient, thing, expand_composites=True)


def out_of_a_dataset(thing):
    # Beside a number, since ReverseOrder has no components.
    return next(iter(tf.data.Dataset.range(1).map(lambda number: (number, thing))))[1]


WAYS = [
    out_of_a_function,
    through_a_function,
    out_of_a_strategy,
    out_of_a_loop,
    with_stopped_gradients,
    out_of_a_dataset,
]


# Every way for one flow, and every flow out of one way.
PAIRS = {f"{way.__name__}, {name}": (way, make) for way in WAYS for name, make in COMPOSITE.items()}
OTHER_PAIRS = [pair for pair, (way, make) in PAIRS.items() if way is not through_a_function and make is not FLOWS["affine"]]


@cases.parametrize(("way", "make"), PAIRS, OTHER_PAIRS)
def test_methods_work_on_what_comes_out(way, make):
    """Of the bijector itself, and inside of compositions."""
    bijector, x, ndims = make((3,)), make.events(3), make.event_ndims
    ours = way(bijector)
    assert type(ours) is type(bijector)
    for function in ("forward", "inverse"):
        check_equal(getattr(ours, function)(x), getattr(bijector, function)(x))
    for function in ("forward_log_det_jacobian", "inverse_log_det_jacobian"):
        check_equal(getattr(ours, function)(x, event_ndims=ndims), getattr(bijector, function)(x, event_ndims=ndims))
    assert ours.experimental_batch_shape() == bijector.experimental_batch_shape()


@pytest.mark.parametrize("name", ["affine", pytest.param("masked autoregressive", marks=pytest.mark.long)])
@pytest.mark.parametrize("way", WAYS)
def test_distributions_work_that_come_out(way, name):
    make = BIJECTORS[name]
    zeros = tf.zeros([3, *make.event_shape], tf.float64)
    base = tfd.Sample(tfd.Normal(tf.zeros([3], tf.float64), tf.ones([], tf.float64)), make.event_shape)
    q = tfd.TransformedDistribution(base, tfb.Chain([tfb.Shift(zeros + 1.0), tfb.Invert(make((3,))), make((3,), seed=1)]))
    ours = way(q)
    z, log_q = ours.experimental_sample_and_log_prob(2, seed=[0, 1])
    check_equal((z, log_q), q.experimental_sample_and_log_prob(2, seed=[0, 1]))
    check_equal(ours.log_prob(properties.fresh(z)), log_q, atol=1e-7)
    assert (ours.batch_shape, ours.event_shape) == (q.batch_shape, q.event_shape)
    check_equal(tf.function(lambda q, z: q.log_prob(z))(ours, z), log_q, atol=1e-7)


@every_composite
def test_conversion_of_variables_to_tensors(make):
    """TFP's own check: the test utilities that are in its wheel."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    from tensorflow_probability.python.internal import test_util

    bijector = make((3,))
    for thing in (bijector, tfb.Chain([bijector]), tfd.TransformedDistribution(make.base(3), tfb.Invert(bijector))):
        test_util.TestCase().assertConvertVariablesToTensorsWorks(thing)


@every_flow
def test_stopped_gradients_stop_at_the_weights_alone(make):
    """As doubly reparameterized gradients need it: gradients reach z, and no weight."""
    flow, z = make((3,)), make.events(3)
    stopped = with_stopped_gradients(flow)
    with tf.GradientTape() as tape:
        tape.watch(z)
        y, log_det = stopped.inverse_and_log_det(z)
        loss = tf.reduce_sum(y**2) + tf.reduce_sum(log_det)
    by_z, *by_weights = tape.gradient(loss, [z, *flow.trainable_variables])
    with tf.GradientTape() as tape:
        tape.watch(z)
        y, log_det = flow.inverse_and_log_det(z)
        loss = tf.reduce_sum(y**2) + tf.reduce_sum(log_det)
    check_equal(by_z, tape.gradient(loss, z))
    assert all(gradient is None for gradient in by_weights)


@every_flow
def test_a_new_context_does_not_retrace(make):
    traces = []

    @tf.function(autograph=False)
    def log_prob(flow, z):
        traces.append(1)
        return tfd.TransformedDistribution(make.base(3), flow).log_prob(z)

    flow, z = make((3,)), make.events(3)
    for shift in (0.0, 1.0, 2.0):
        moved = flow if flow.context is None else flow.copy(context=flow.context + shift)
        check_equal(log_prob(moved, z), tfd.TransformedDistribution(make.base(3), moved).log_prob(z))
    assert len(traces) == 1


@every_flow
def test_a_flow_passed_to_a_function_sees_weight_updates_and_gives_gradients(make):
    @tf.function(jit_compile=True, autograph=False)
    def loss_and_gradients(flow, y):
        with tf.GradientTape() as tape:
            z, log_det = flow.forward_and_log_det(y)
            loss = tf.reduce_sum(z * z) - tf.reduce_sum(log_det)
        return loss, tape.gradient(loss, flow.trainable_variables)

    flow, y = make((3,)), make.events(3)
    for _ in range(2):
        with tf.GradientTape() as tape:
            z, log_det = flow.forward_and_log_det(y)
            expected = tf.reduce_sum(z * z) - tf.reduce_sum(log_det)
        expected_gradients = tape.gradient(expected, flow.trainable_variables)
        loss, gradients = loss_and_gradients(flow, y)
        np.testing.assert_allclose(loss, expected, rtol=1e-9)
        check_equal(gradients, expected_gradients, atol=1e-8)
        properties.randomize(flow.network, seed=9)


def test_specs_of_equal_flows_are_equal_and_of_others_not():
    make = FLOWS["affine"]
    flow = make((3,))
    spec = tf.type_spec_from_value(flow)
    assert spec == tf.type_spec_from_value(flow.copy(context=flow.context + 1.0))
    assert hash(spec) == hash(tf.type_spec_from_value(flow.copy(context=flow.context + 1.0)))
    for other in (make((3,)), flow.copy(inverse="sequential"), flow.copy(context=flow.context[:2])):
        assert spec != tf.type_spec_from_value(other)
    relaxed = spec.most_specific_common_supertype([tf.type_spec_from_value(flow.copy(context=flow.context[:2]))])
    assert relaxed is not None
    assert spec.is_subtype_of(relaxed)
    assert spec.most_specific_common_supertype([tf.type_spec_from_value(make((3,)))]) is None


def test_a_context_in_a_variable_is_read_with_each_call():
    make = FLOWS["affine"]
    network = make().network
    for variable in (tf.Variable, keras.Variable):
        context = variable(np.ones([3, CONTEXT_SIZE]), dtype="float64")
        flow = InverseAutoregressiveFlow(network, context=context)
        assert len(flow.trainable_variables) == 1 + len(network.trainable_variables)
        log_prob = tf.function(tfd.TransformedDistribution(make.base(3), flow).log_prob)
        y = make.events(3)
        for value in (1.0, 2.0, 3.0, 4.0):
            context.assign(value * np.ones([3, CONTEXT_SIZE]))
            fixed = InverseAutoregressiveFlow(network, context=value * np.ones([3, CONTEXT_SIZE]))
            check_equal(log_prob(make.events(3)), tfd.TransformedDistribution(make.base(3), fixed).log_prob(make.events(3)))
            # The same tensor, for which TFP remembers what it was told before.
            check_equal(flow.forward(y), fixed.forward(make.events(3)))
            check_equal(flow.inverse(y), fixed.inverse(make.events(3)))


@pytest.mark.parametrize("inverse", ["blocks", "fixed_point", "sequential"])
def test_a_deferred_context_is_read_once_per_call(inverse):
    reads = []
    network = FLOWS["affine"]().network
    deferred = tfp.util.DeferredTensor(
        tf.Variable(np.ones([3, CONTEXT_SIZE])), lambda value: reads.append(1) or value * 2.0, shape=[3, CONTEXT_SIZE]
    )
    flow = InverseAutoregressiveFlow(network, context=deferred, inverse=inverse)
    del reads[:]
    y = flow.inverse(FLOWS["affine"].events(3))
    assert len(reads) == 1
    fixed = InverseAutoregressiveFlow(network, context=2.0 * np.ones([3, CONTEXT_SIZE]), inverse=inverse)
    check_equal(y, fixed.inverse(FLOWS["affine"].events(3)))
