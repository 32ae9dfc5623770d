import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties, reference
from tests.bijectors.constructors import OwnNetwork, normals
from tfp_iaf.bijectors import ConvInverseAutoregressiveFlow, InverseAutoregressiveFlow, inverses, maps
from tfp_iaf.networks import AutoregressiveNetwork, ConvAutoregressiveNetwork

tfb = tfp.bijectors
tfd = tfp.distributions


def make(kind, order, context_size, inverse="auto", scale=1.0):
    network = AutoregressiveNetwork(
        params=maps.get(kind).params,
        event_shape=6,
        hidden_units=(24, 18),
        context_size=context_size,
        input_order=order,
        activation="elu",
        seed=1,
        dtype="float64",
    )
    network.build()
    properties.randomize(network, scale=scale)
    context = None if context_size is None else np.random.default_rng(1).normal(size=[4, context_size])
    return InverseAutoregressiveFlow(network, context=context, bijector_fn=kind, inverse=inverse), context


@pytest.mark.parametrize(
    ("kind", "order", "context_size"), [("affine", "random", 3), ("gated", "right-to-left", None), ("location", "random", 3)]
)
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


@pytest.mark.parametrize("kind", ["affine", "gated", "location"])
def test_forward_over_images_equals_the_naive_reference(kind):
    params = maps.get(kind).params
    network = ConvAutoregressiveNetwork(params, (3, 4, 2), (6,), context_channels=3, dtype="float64")
    network.build()
    properties.randomize(network)
    flow = InverseAutoregressiveFlow(network, context=normals(3, 4, 3), bijector_fn=kind)
    y = normals(3, 4, 2).numpy()
    parameters = reference.conv_made(reference.weights_of(network), y, flow.context.numpy(), params)
    pairs = [reference.elementwise(kind, y[entry], parameters[entry]) for entry in np.ndindex(y.shape)]
    z, log_det = flow.forward_and_log_det(y)
    np.testing.assert_allclose(np.ravel(z), [pair[0] for pair in pairs], atol=1e-12)
    np.testing.assert_allclose(log_det, sum(pair[1] for pair in pairs), atol=1e-12)


def test_one_class_for_events_of_any_rank():
    assert ConvInverseAutoregressiveFlow is InverseAutoregressiveFlow


def test_a_pair_or_a_map_object_is_a_bijector_fn():
    """The pair says how many parameters it takes, the callable alone takes what the network has."""

    def sinh_arcsinh(parameters):
        return tfb.SinhArcsinh(skewness=parameters[..., 0])

    network = AutoregressiveNetwork(1, 4, (8,), dtype="float64")
    network.build()
    properties.randomize(network)
    y = normals(3, 4)
    z, log_det = InverseAutoregressiveFlow(network, bijector_fn=sinh_arcsinh).forward_and_log_det(y)
    for bijector_fn in ((sinh_arcsinh, 1), maps.FromBijector(sinh_arcsinh, 1)):
        ours = InverseAutoregressiveFlow(network, bijector_fn=bijector_fn).forward_and_log_det(y)
        np.testing.assert_array_equal(ours[0], z)
        np.testing.assert_array_equal(ours[1], log_det)
    bijector = sinh_arcsinh(network(y))
    np.testing.assert_allclose(z, bijector.forward(y), atol=1e-12)
    with pytest.raises(ValueError, match=r"takes 2 parameter\(s\) per entry"):
        InverseAutoregressiveFlow(network, bijector_fn=(sinh_arcsinh, 2))


def test_untrained_flow_is_near_the_identity():
    network = AutoregressiveNetwork(2, 6, (64, 64), activation="elu")
    y = np.random.default_rng(0).normal(size=[4, 6]).astype(np.float32)
    flow = InverseAutoregressiveFlow(network)
    np.testing.assert_allclose(flow.forward(y), y, atol=0.15)


def test_sixteen_affine_flows_at_a_hundred_times_the_rate_stay_finite():
    """Losses may be bad, but no NaN, where the log-scales are bounded by 1 per flow; 16 times 4 overflow float32."""
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=[64, 6]) * np.arange(1.0, 7.0), tf.float32)
    orders = ["left-to-right", "right-to-left"]
    networks = [AutoregressiveNetwork(2, 6, (32,), input_order=orders[k % 2], activation="elu") for k in range(16)]
    flows = [InverseAutoregressiveFlow(network, bijector_fn=maps.Affine(log_scale_bound=1.0)) for network in networks]
    variables = [variable for network in networks for variable in network.trainable_variables]
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            z, log_det = x, 0.0
            for flow in flows:
                z, log_det_of_flow = flow.forward_and_log_det(z)
                log_det += log_det_of_flow
            loss = tf.reduce_mean(0.5 * tf.reduce_sum(z**2, axis=-1) - log_det)
        optimizer.apply(tape.gradient(loss, variables))
        return loss

    losses = [step().numpy() for _ in range(30)]
    assert np.isfinite(losses).all()
    assert all(np.isfinite(variable.numpy()).all() for variable in variables)


def test_a_float32_flow_inside_a_model_of_mixed_precision():
    network = AutoregressiveNetwork(2, 4, (8,), context_size=3, activation="elu")
    network.build()
    properties.randomize(network)
    z, context = (np.random.default_rng(0).normal(size=[5, size]).astype("float32") for size in (4, 3))
    expected = InverseAutoregressiveFlow(network, context=context, inverse="sequential").inverse(z)
    for inverse in ("blocks", "fixed_point", "sequential"):

        class Inverting(keras.layers.Layer):
            def call(self, _, inverse=inverse):
                return InverseAutoregressiveFlow(network, context=context, inverse=inverse).inverse(z)

        for function in (Inverting(dtype="mixed_bfloat16"), tf.function(Inverting(dtype="mixed_bfloat16"), autograph=False)):
            np.testing.assert_allclose(function(z), expected, atol=1e-5)


def test_auto_takes_the_first_inverse_that_serves():
    for dtype, expected in {"float32": inverses.Blocks, "mixed_bfloat16": inverses.FixedPoint}.items():
        network = AutoregressiveNetwork(2, 6, (12,), dtype=dtype)
        assert type(inverses.get("auto", network)) is expected
    with pytest.raises(ValueError, match="computes in bfloat16: choose auto or one of fixed_point, sequential"):
        InverseAutoregressiveFlow(network, inverse="blocks")
    assert type(inverses.get("auto", OwnNetwork(3))) is inverses.FixedPoint
    with pytest.raises(ValueError, match="'blocks' does not serve this OwnNetwork"):
        InverseAutoregressiveFlow(OwnNetwork(3), inverse="blocks")


def test_an_inverse_of_the_users_own():
    class OneIteration(inverses.Inverse):
        def __call__(self, equation):
            return equation.image(equation.parameters_at(tf.zeros_like(equation.z)))

    flow, _ = make("location", "left-to-right", 3, inverse=OneIteration())
    z = normals(4, 6)
    y, log_det = flow.inverse_and_log_det(z)
    np.testing.assert_allclose(y, z + flow.network(tf.zeros_like(z), context=flow.context)[..., 0], atol=1e-12)
    np.testing.assert_array_equal(log_det, np.zeros([4]))


def test_inverse_broadcasts_an_unbatched_event_against_the_context():
    flow, _ = make("affine", "left-to-right", 3)
    z = np.random.default_rng(0).normal(size=[6])
    np.testing.assert_allclose(flow.inverse(z), flow.inverse(np.broadcast_to(z, [4, 6])), atol=1e-12)


def test_per_entry_log_derivatives_sum_to_the_log_det():
    flow, _ = make("affine", "random", 3)
    y = normals(4, 6)
    (z, log_derivatives), (same_z, log_det) = flow.forward_and_log_derivatives(y), flow.forward_and_log_det(y)
    np.testing.assert_array_equal(z, same_z)
    assert log_derivatives.shape == (4, 6)
    np.testing.assert_allclose(tf.reduce_sum(log_derivatives, axis=-1), log_det, atol=1e-12)


def test_bad_arguments_raise_one_line():
    network = AutoregressiveNetwork(2, 5, (8,), context_size=3)
    context = tf.ones([2, 3])
    flow = InverseAutoregressiveFlow(network, context=context)
    conv = InverseAutoregressiveFlow(ConvAutoregressiveNetwork(2, (3, 4, 2), context_channels=3), tf.ones([3, 4, 3]))
    keras_2 = tfb.AutoregressiveNetwork(2, event_shape=[5], hidden_units=[8])
    for function, message in {
        lambda: InverseAutoregressiveFlow(network): "takes a context, got none",
        lambda: InverseAutoregressiveFlow(network, context=tf.ones([2, 4])): "expects a context of shape",
        lambda: flow.copy(context=tf.ones([2, 3], tf.float64)): "dtype float32, got a context of dtype",
        lambda: flow.copy(bijector_fn="affin"): "bijector_fn must be .*, got 'affin'",
        lambda: flow.copy(bijector_fn="location"): "takes 1 parameter",
        lambda: flow.copy(inverse="fast"): "inverse must be one of .*, got 'fast'",
        lambda: flow.copy(inverse=3): "inverse must be one of .*, got 3",
        lambda: InverseAutoregressiveFlow(keras_2): "Keras 2 layer",
        lambda: InverseAutoregressiveFlow(lambda y: y): "must be a tfp_iaf.networks.Network, such as AutoregressiveNetwork",
        lambda: flow.forward(tf.ones([2, 4])): "expects an event of shape",
        lambda: flow.forward(tf.constant(1.0)): "expects an event of shape",
        lambda: flow.inverse(tf.ones([2, 4])): "expects an event of shape",
        lambda: flow.forward(tf.ones([2, 5], tf.float64)): "float64",
        lambda: flow.forward(tf.ones([3, 5])): "do not broadcast",
        lambda: flow.inverse(tf.ones([3, 5])): "do not broadcast",
        lambda: conv.forward(np.zeros([4, 3, 2], "float32")): r"event of shape \[..., 3, 4, 2\]",
        lambda: conv.copy(context=np.zeros([3], "float32")): r"context of shape \[..., 3, 4, 3\]",
    }.items():
        with pytest.raises(ValueError, match=message) as error:
            function()
        assert "\n" not in str(error.value)


def test_a_network_that_does_not_know_its_event_is_refused():
    network = AutoregressiveNetwork(params=2, hidden_units=(8,))
    with pytest.raises(ValueError, match="give it event_shape, or build it") as error:
        InverseAutoregressiveFlow(network)
    assert "\n" not in str(error.value)
    network.build((None, 3))
    assert InverseAutoregressiveFlow(network).forward(tf.zeros([2, 3])).shape == (2, 3)
