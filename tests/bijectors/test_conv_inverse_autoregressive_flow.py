"""The flow over feature maps: its invariants, and the dense bijector's contract over events of rank 3."""

import copy

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties, reference
from tfp_iaf.bijectors import ConvInverseAutoregressiveFlow, InverseAutoregressiveFlow, ReverseOrder
from tfp_iaf.bijectors import maps as elementwise
from tfp_iaf.networks import AutoregressiveNetwork, ConvAutoregressiveNetwork

tfb = tfp.bijectors
tfd = tfp.distributions

EVENT_SHAPE = (3, 4, 2)
ORDERS = ["left-to-right", "right-to-left"]


def sinh_arcsinh(parameters):
    return tfb.SinhArcsinh(skewness=parameters[..., 0], tailweight=tf.exp(0.3 * tf.tanh(parameters[..., 1])))


PARAMS = {"affine": 2, "gated": 2, "location": 1, "spline": 8, sinh_arcsinh: 2}
every_map = pytest.mark.parametrize("kind", PARAMS, ids=lambda kind: kind if isinstance(kind, str) else "callable")


def make(
    kind="affine",
    batch_shape=(),
    order="left-to-right",
    inverse="auto",
    filters=(6,),
    scale=0.5,
    seed=0,
    dtype="float64",
    with_context=True,
):
    channels = 3 if with_context else None
    network = ConvAutoregressiveNetwork(
        PARAMS[kind], EVENT_SHAPE, filters, context_channels=channels, input_order=order, dtype=dtype
    )
    network.build()
    properties.randomize(network, scale=scale, seed=seed)
    context = None
    if with_context:
        context = tf.constant(np.random.default_rng(seed).normal(size=[*batch_shape, 3, 4, 3]))
        context = tf.cast(context, tf.float64 if dtype == "float64" else tf.float32)
    return ConvInverseAutoregressiveFlow(network, context, bijector_fn=kind, inverse=inverse)


def events(*shape, seed=3):
    return tf.constant(np.random.default_rng(seed).normal(size=[*shape, *EVENT_SHAPE]))


def base(*batch_shape):
    zeros = tf.zeros([*batch_shape, *EVENT_SHAPE], tf.float64)
    return tfd.Independent(tfd.Normal(zeros, tf.ones_like(zeros)), 3)


def check_equal(ours, expected, atol=1e-9):
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), ours, expected)


# Invariants


@pytest.mark.parametrize("kind", ["affine", "gated", "location"])
def test_forward_equals_the_naive_reference(kind):
    flow = make(kind)
    weights = reference.weights_of(flow.network)
    y = events().numpy()
    parameters = reference.conv_made(weights, y, flow.context.numpy(), PARAMS[kind])
    pairs = [reference.elementwise(kind, y[entry], parameters[entry]) for entry in np.ndindex(EVENT_SHAPE)]
    z, log_det = flow.forward_and_log_det(y)
    np.testing.assert_allclose(np.ravel(z), [pair[0] for pair in pairs], atol=1e-12)
    np.testing.assert_allclose(log_det, sum(pair[1] for pair in pairs), atol=1e-12)


@every_map
@pytest.mark.parametrize("order", ORDERS)
def test_round_trip_and_log_det(kind, order):
    flow = make(kind, (2,), order=order)
    z = flow.forward(events(2))
    y, log_det = flow.inverse_and_log_det(properties.fresh(z))
    check_equal(y, events(2))
    check_equal(flow.forward_log_det_jacobian(events(2), event_ndims=3), log_det)
    properties.check_log_det(make(kind, order=order), events())


@every_map
@pytest.mark.parametrize("order", ORDERS)
def test_jacobian_is_triangular_in_the_order(kind, order):
    flow = make(kind, order=order)
    jacobian = properties.jacobian(flow.forward, events())
    degrees = flow.network.degrees.reshape([-1])
    assert (jacobian[degrees[None, :] > degrees[:, None]] == 0).all()
    assert (np.diag(jacobian) > 0).all()
    # Some entry depends on a pixel of the row above, right of its own, the last that raster order and a 3 x 3 kernel reach.
    assert np.count_nonzero(jacobian[degrees[None, :] < degrees[:, None]]) > EVENT_SHAPE[0] * EVENT_SHAPE[1]


@pytest.mark.parametrize(
    ("kind", "filters"),
    [("affine", ()), ("affine", (6,)), ("affine", (6, 6)), ("gated", (6,)), ("location", (6,)), ("spline", (6,))],
)
def test_fixed_point_equals_the_sequential_inverse_with_its_gradients(kind, filters):
    results = []
    for inverse in ("fixed_point", "sequential"):
        flow = make(kind, (2,), filters=filters, inverse=inverse)
        z = events(2)
        sources = [z, flow.context, *flow.trainable_variables]

        @tf.function
        def differentiated(flow=flow, z=z, sources=sources):
            with tf.GradientTape() as tape:
                tape.watch(sources)
                y, log_det = flow.inverse_and_log_det(z)
                loss = tf.reduce_sum(tf.sin(y)) + tf.reduce_sum(log_det**2)
            return [y, log_det, *tape.gradient(loss, sources, unconnected_gradients="zero")]

        results.append(differentiated())
    for ours, other in zip(*results):
        np.testing.assert_allclose(ours, other, atol=1e-9, rtol=1e-9)


def test_inverse_at_size_in_float32():
    """16 x 16 x 8, to 1e-5 of the values, and far fewer evaluations than entries."""
    network = ConvAutoregressiveNetwork(2, (16, 16, 8), (32,), context_channels=4)
    network.build()
    properties.randomize(network)
    rng = np.random.default_rng(0)
    y, context = (tf.constant(rng.normal(size=[2, 16, 16, n]), tf.float32) for n in (8, 4))
    flow = ConvInverseAutoregressiveFlow(network, context)
    calls, original = [], network.call
    network.call = lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs)
    z, log_det = flow.forward_and_log_det(y)
    assert len(calls) == 1
    back, log_det_at_z = flow.inverse_and_log_det(z)
    np.testing.assert_allclose(back, y, atol=1e-5 * np.abs(y).max())
    np.testing.assert_allclose(log_det_at_z, log_det, rtol=1e-5)
    assert len(calls) < 16 * 16 * 8 / 20


def test_one_evaluation_a_sample():
    flow = make(batch_shape=(2,))
    calls, original = [], flow.network.call
    flow.network.call = lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs)
    distribution = tfd.TransformedDistribution(base(2), flow)
    z, log_prob = distribution.experimental_sample_and_log_prob(seed=[0, 1])
    assert len(calls) == 1
    check_equal(distribution.log_prob(properties.fresh(z)), log_prob)


# The contract of the dense bijector


def test_distributions_and_compositions():
    flow = make(batch_shape=(3,))
    chain = tfb.Chain([tfb.Reshape([24], event_shape_in=EVENT_SHAPE), ReverseOrder(event_ndims=3), flow])
    distribution = tfd.TransformedDistribution(base(3), chain)
    assert (distribution.batch_shape, distribution.event_shape) == ([3], [24])
    z, log_prob = distribution.experimental_sample_and_log_prob(4, seed=[0, 1])
    check_equal(distribution.log_prob(properties.fresh(z)), log_prob)
    check_equal(distribution[1:].log_prob(properties.fresh(z[:, 1:])), log_prob[:, 1:])
    y, log_det = flow.inverse_and_log_det(events(3))
    inverted = tfb.Invert(flow)
    check_equal(inverted.forward(events(3)), y)
    check_equal(inverted.forward_log_det_jacobian(properties.fresh(events(3)), event_ndims=3), -log_det)
    variables = {id(variable._value) for variable in flow.network.trainable_variables}
    assert {id(variable) for variable in distribution.trainable_variables} == variables

    joint = tfd.JointDistributionSequential(
        [
            tfd.TransformedDistribution(base(), make()),
            lambda z: tfd.Independent(tfd.Normal(z, tf.ones([], tf.float64)), 3),
        ]
    )
    draws, log_prob = joint.experimental_sample_and_log_prob(2, seed=1)
    check_equal(joint.log_prob(tf.nest.map_structure(properties.fresh, draws)), log_prob)


@pytest.mark.parametrize("batch_shape", [(), (3,), (2, 3), (0,)], ids=str)
def test_batch_shapes(batch_shape):
    flow = make(batch_shape=batch_shape)
    assert flow.experimental_batch_shape() == batch_shape
    z, log_det = flow.forward(events(*batch_shape)), flow.forward_log_det_jacobian(events(*batch_shape), event_ndims=3)
    assert z.shape == (*batch_shape, *EVENT_SHAPE)
    assert log_det.shape == batch_shape
    check_equal(flow.inverse(properties.fresh(z)), events(*batch_shape))


@pytest.mark.parametrize("kind", ["affine", "spline"])
def test_modes_and_vectorized_map_agree(kind):
    flow = make(kind)
    for function in (flow.forward_and_log_det, flow.inverse_and_log_det):
        properties.check_modes_agree(function, events(2), atol=1e-9)
        check_equal(tf.vectorized_map(function, events(2)), function(events(2)))


def test_a_new_context_does_not_retrace():
    traces = []

    @tf.function
    def inverse(flow, z):
        traces.append(1)
        return flow.inverse_and_log_det(z)

    flow = make(batch_shape=(2,))
    for shift in (0.0, 1.0):
        moved = flow.copy(context=flow.context + shift)
        check_equal(inverse(moved, events(2)), moved.inverse_and_log_det(events(2)))
    assert len(traces) == 1


def test_checkpoint_copies_and_fresh_values(tmp_path):
    flow, other = make(batch_shape=(2,)), make(batch_shape=(2,), seed=1)
    twin = copy.deepcopy(flow)
    z = flow.forward(events(2))
    path = tf.train.Checkpoint(flow=flow).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(flow=other).restore(path).assert_existing_objects_matched().assert_consumed()
    check_equal(other.copy(context=flow.context).forward(events(2)), z)
    y = events(2)
    kept = flow.forward(y)
    properties.randomize(flow.network, seed=9)
    assert np.abs(flow.forward(y) - kept).max() > 1e-3
    check_equal(twin.forward(events(2)), z)


def test_saved_model(tmp_path):
    class Service(tf.Module):
        def __init__(self):
            super().__init__()
            self.flow = make()

        @tf.function(input_signature=[tf.TensorSpec([None, *EVENT_SHAPE], tf.float64)])
        def log_prob(self, z):
            return tfd.TransformedDistribution(base(), self.flow).log_prob(z)

    service = Service()
    tf.saved_model.save(service, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    check_equal(loaded.log_prob(events(4)), service.log_prob(events(4)))


@pytest.mark.parametrize(("policy", "tolerance"), [("float32", 1e-4), ("mixed_bfloat16", 0.05)])
def test_policies(policy, tolerance):
    flow = make(batch_shape=(2,), dtype=policy)
    y = tf.cast(events(2), tf.float32)
    z, log_det = flow.forward_and_log_det(y)
    assert z.dtype == log_det.dtype == tf.float32
    check_equal(flow.inverse_and_log_det(z), (y, log_det), atol=tolerance)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ConvInverseAutoregressiveFlow(AutoregressiveNetwork(2, 5)), "events with 3 axes.*ConvInverse"),
        (lambda: InverseAutoregressiveFlow(ConvAutoregressiveNetwork(2, (4, 4, 1))), "events with 1 axes"),
        (lambda: make(inverse="incremental"), "inverse='auto'"),
        (lambda: make().forward(np.zeros([4, 3, 2])), r"event of shape \[..., 3, 4, 2\]"),
        (lambda: make().copy(context=np.zeros([3])), r"context of shape \[..., 3, 4, 3\]"),
        (lambda: make().copy(bijector_fn="location"), "takes 1 parameter"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_params_of_every_named_map_fit():
    for kind in ("affine", "gated", "location", "spline"):
        network = ConvAutoregressiveNetwork(elementwise.params_of(kind), EVENT_SHAPE, (6,))
        y = tf.cast(events(2), tf.float32)
        check_equal(ConvInverseAutoregressiveFlow(network, bijector_fn=kind).forward(y), y, atol=0.6)
