"""Properties shared by all bijectors."""

import gc

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties
from tests.bijectors.constructors import BIJECTORS, CONTEXT_SIZE, EVENT_SIZE, FLOWS

tfb = tfp.bijectors
tfd = tfp.distributions

every_bijector = pytest.mark.parametrize("make", BIJECTORS.values(), ids=BIJECTORS)
every_flow = pytest.mark.parametrize("make", FLOWS.values(), ids=FLOWS)


def events(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=[*shape, EVENT_SIZE])


@every_bijector
@pytest.mark.parametrize("batch_shape", [(), (3,), (2, 3)], ids=str)
def test_round_trip(make, batch_shape):
    properties.check_round_trip(make(batch_shape), tf.constant(events(*batch_shape)), atol=1e-9)


@every_bijector
def test_log_det_equals_that_of_the_autodiff_jacobian(make):
    for seed in range(3):
        properties.check_log_det(make(seed=seed), events(seed=seed), atol=1e-9)


@every_flow
def test_jacobian_is_exactly_triangular_in_the_order(make):
    flow = make()
    jacobian = properties.jacobian(flow.forward, events())
    degrees = flow.network.degrees
    allowed = degrees[None, :] <= degrees[:, None]
    np.testing.assert_array_equal(jacobian != 0, allowed)


def test_reversed_jacobian_is_the_exchange_matrix():
    jacobian = properties.jacobian(BIJECTORS["reverse"]().forward, events())
    np.testing.assert_array_equal(jacobian, np.eye(EVENT_SIZE)[::-1])


@every_bijector
def test_eager_graph_and_xla_agree(make):
    bijector = make((3,))

    def forward(y):
        return bijector.forward(y), bijector.forward_log_det_jacobian(y, event_ndims=1)

    def inverse(z):
        return bijector.inverse(z), bijector.inverse_log_det_jacobian(z, event_ndims=1)

    properties.check_modes_agree(forward, events(3), atol=1e-9)
    properties.check_modes_agree(inverse, events(3), atol=1e-9)


@every_bijector
@pytest.mark.parametrize("sample_shape", [(), (4,), (4, 2)], ids=str)
def test_transformed_distribution(make, sample_shape):
    base = tfd.MultivariateNormalDiag(tf.zeros([3, EVENT_SIZE], tf.float64))
    distribution = tfd.TransformedDistribution(base, tfb.Chain([make((3,), seed=1), tfb.Invert(make((3,)))]))
    assert isinstance(distribution, tfd.TransformedDistribution)
    assert distribution.batch_shape == [3]
    assert distribution.event_shape == [EVENT_SIZE]
    z, log_prob = distribution.experimental_sample_and_log_prob(sample_shape, seed=[0, 1])
    assert z.shape == (*sample_shape, 3, EVENT_SIZE)
    np.testing.assert_allclose(distribution.log_prob(properties.fresh(z)), log_prob, atol=1e-8)
    part = distribution[1:]
    np.testing.assert_allclose(part.log_prob(properties.fresh(z[..., 1:, :])), log_prob[..., 1:], atol=1e-8)


@every_bijector
def test_batch_shape_comes_from_the_context(make):
    bijector = make((2, 3))
    expected = () if make in (FLOWS["affine, no context"], BIJECTORS["reverse"]) else (2, 3)
    assert bijector.experimental_batch_shape() == expected
    assert tuple(bijector.experimental_batch_shape_tensor()) == expected


@every_flow
def test_sample_and_density_take_one_network_evaluation(make):
    flow = make((3,))
    calls = count_calls(flow.network)
    base = tfd.MultivariateNormalDiag(tf.zeros([3, EVENT_SIZE], tf.float64))
    distribution = tfd.TransformedDistribution(base, flow)
    distribution.experimental_sample_and_log_prob(seed=[0, 1])
    assert len(calls) == 1
    del calls[:]
    tf.function(lambda: distribution.experimental_sample_and_log_prob(seed=[0, 1])).get_concrete_function()
    assert len(calls) == 1
    del calls[:]
    flow.forward_and_log_det(tf.constant(events(3)))
    assert len(calls) == 1


@every_flow
def test_inverse_takes_at_most_one_evaluation_more_than_entries(make):
    # Eager loops evaluate as they go. The incremental inverse computes units, and never evaluates the network.
    flow = make((3,))
    z = tf.constant(events(3))
    calls = count_calls(flow.network)
    flow.inverse_and_log_det(z)
    allowed = {0} if flow.parameters["inverse"] == "incremental" else range(2, EVENT_SIZE + 2)
    assert len(calls) in allowed


def count_calls(network):
    calls, original = [], network.call

    def call(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    network.call = call
    return calls


@every_flow
def test_variables_are_seen_by_tfp(make):
    flow = make((3,))
    expected = {id(variable._value) for variable in flow.network.trainable_variables}
    base = tfd.MultivariateNormalDiag(tf.zeros([3, EVENT_SIZE], tf.float64))
    for holder in (flow, tfb.Chain([flow]), tfb.Invert(flow), tfd.TransformedDistribution(base, tfb.Chain([flow]))):
        assert {id(variable) for variable in holder.trainable_variables} == expected


@every_flow
def test_gradients_reach_context_weights_and_inputs_both_ways(make):
    flow = make((3,))
    y = tf.constant(events(3))
    for function in (flow.forward_and_log_det, flow.inverse_and_log_det):
        with tf.GradientTape() as tape:
            sources = [y, *([] if flow.context is None else [flow.context])]
            tape.watch(sources)
            value, log_det = function(y)
            loss = tf.reduce_sum(tf.sin(value)) + tf.reduce_sum(log_det)
        gradients = tape.gradient(loss, [*sources, *flow.network.trainable_variables])
        assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)
        assert all(np.abs(gradient).max() > 0 for gradient in gradients)


@every_flow
def test_a_new_context_does_not_retrace(make):
    traces = []

    @tf.function
    def log_prob(flow, z):
        traces.append(1)
        base = tfd.MultivariateNormalDiag(tf.zeros([3, EVENT_SIZE], tf.float64))
        return tfd.TransformedDistribution(base, flow).log_prob(z)

    flow = make((3,))
    z = events(3)
    for shift in (0.0, 1.0, 2.0):
        moved = flow if flow.context is None else flow.copy(context=flow.context + shift)
        base = tfd.MultivariateNormalDiag(tf.zeros([3, EVENT_SIZE], tf.float64))
        expected = tfd.TransformedDistribution(base, moved).log_prob(properties.fresh(z))
        np.testing.assert_allclose(log_prob(moved, tf.constant(z)), expected, atol=1e-9)
    assert len(traces) == 1


@every_flow
def test_a_flow_passed_to_a_function_sees_weight_updates_and_gives_gradients(make):
    @tf.function(jit_compile=True)
    def loss_and_gradients(flow, y):
        with tf.GradientTape() as tape:
            z, log_det = flow.forward_and_log_det(y)
            loss = tf.reduce_sum(z * z) - tf.reduce_sum(log_det)
        return loss, tape.gradient(loss, flow.trainable_variables)

    flow = make((3,))
    y = tf.constant(events(3))
    for _ in range(2):
        with tf.GradientTape() as tape:
            z, log_det = flow.forward_and_log_det(y)
            expected = tf.reduce_sum(z * z) - tf.reduce_sum(log_det)
        expected_gradients = tape.gradient(expected, flow.trainable_variables)
        loss, gradients = loss_and_gradients(flow, y)
        np.testing.assert_allclose(loss, expected, rtol=1e-9)
        for gradient, other in zip(gradients, expected_gradients):
            np.testing.assert_allclose(gradient, other, atol=1e-8)
        properties.randomize(flow.network, seed=9)


def test_equal_flows_do_not_share_cache_entries():
    first, second = (FLOWS["affine"]((3,), seed=seed) for seed in (0, 1))
    y = tf.constant(events(3))
    z = first.forward(y)
    assert np.abs(second.forward(y) - z).max() > 1e-3
    assert np.abs(second.inverse(z) - y).max() > 1e-3
    assert first != second


def test_a_layer_that_samples_leaves_no_graph_behind():
    from tfp_iaf.posteriors import IAF

    def traced_entries():
        posterior = IAF(4, hidden_units=(8,))
        tf.function(lambda features: posterior(features)).get_concrete_function(tf.ones([2, 3]))
        gc.collect()
        return len(tfb.Bijector._cache.storage)

    assert traced_entries() == traced_entries()


def test_bad_arguments_raise_one_line():
    from tfp_iaf.bijectors import InverseAutoregressiveFlow, LinearCholeskyIAF, ReverseOrder
    from tfp_iaf.networks import AutoregressiveNetwork

    network = AutoregressiveNetwork(2, EVENT_SIZE, (8,), context_size=CONTEXT_SIZE)
    context = tf.ones([2, CONTEXT_SIZE])
    flow = InverseAutoregressiveFlow(network, context=context)
    keras_2 = tfb.AutoregressiveNetwork(2, event_shape=[EVENT_SIZE], hidden_units=[8])
    for function, message in {
        lambda: InverseAutoregressiveFlow(network): "built for a context of size 3 but got none",
        lambda: InverseAutoregressiveFlow(network, context=tf.ones([2, 4])): "expects a context of shape",
        lambda: InverseAutoregressiveFlow(
            network, context=tf.ones([2, 3], tf.float64)
        ): "dtype float32, got a context of dtype",
        lambda: InverseAutoregressiveFlow(network, context=context, bijector_fn="affin"): "Unknown bijector_fn 'affin'",
        lambda: InverseAutoregressiveFlow(network, context=context, bijector_fn="location"): "takes 1 parameter",
        lambda: InverseAutoregressiveFlow(network, context=context, inverse="fast"): "Unknown inverse 'fast'",
        lambda: InverseAutoregressiveFlow(keras_2): "Keras 2 layer",
        lambda: InverseAutoregressiveFlow(lambda y: y): "must be a tfp_iaf.networks.AutoregressiveNetwork",
        lambda: flow.forward(tf.ones([2, 4])): "expects an event of shape",
        lambda: flow.forward(tf.constant(1.0)): "expects an event of shape",
        lambda: flow.inverse(tf.ones([2, 4])): "expects an event of shape",
        lambda: flow.forward(tf.ones([2, 5], tf.float64)): "float64",
        lambda: LinearCholeskyIAF(tf.ones([2, 4])): "1, 3, 6, 10",
        lambda: LinearCholeskyIAF(tf.constant(1.0)): "1, 3, 6, 10",
        lambda: LinearCholeskyIAF(tf.ones([3], tf.int32)): "floating-point",
        lambda: LinearCholeskyIAF(tf.ones([3])).forward(tf.ones([4])): r"events of shape \[..., 3\]",
        lambda: ReverseOrder(0): "positive integer",
        lambda: ReverseOrder(3).forward(tf.ones([2, 2])): "3 axes",
    }.items():
        with pytest.raises(ValueError, match=message) as error:
            function()
        assert "\n" not in str(error.value)


def test_linear_cholesky_gives_the_covariance_of_section_4_1():
    flow = BIJECTORS["linear Cholesky"]()
    cholesky = flow.cholesky().numpy()
    assert (np.diag(cholesky) == 1).all()
    assert (np.triu(cholesky, 1) == 0).all()
    off_diagonal = tfp.math.fill_triangular_inverse(tf.linalg.band_part(cholesky[1:, :-1], -1, 0))
    np.testing.assert_array_equal(off_diagonal, flow.off_diagonal)
    scale = np.arange(1.0, 6.0)
    ours = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros([5], tf.float64), scale), flow)
    theirs = tfd.MultivariateNormalTriL(tf.zeros([5], tf.float64), cholesky * scale)
    z = events(7)
    np.testing.assert_allclose(ours.log_prob(z), theirs.log_prob(z), atol=1e-9)


def test_reverse_order_of_images_reverses_raster_and_channels():
    from tfp_iaf.bijectors import ReverseOrder

    image = tf.reshape(tf.range(24.0), [1, 2, 4, 3])
    np.testing.assert_array_equal(tf.reshape(ReverseOrder(event_ndims=3).forward(image), [-1]), np.arange(24.0)[::-1])
