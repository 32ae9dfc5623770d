import concurrent.futures
import gc

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties, reference
from tfp_iaf.networks import AutoregressiveNetwork

ORDERS = ["left-to-right", "right-to-left", "random", [2, 5, 1, 3, 4]]
SHAPES = {"linear": (), "one": (20,), "two": (20, 40), "uneven": (13, 29, 13)}


def make(order="left-to-right", hidden_units=(20, 20), context_size=3, params=2, dtype="float64", **kwargs):
    kwargs = {"activation": "elu", "seed": 2, "dtype": dtype, **kwargs}
    network = AutoregressiveNetwork(params, 5, hidden_units, context_size=context_size, input_order=order, **kwargs)
    network.build()
    properties.randomize(network)
    return network


def inputs(rows=4, context_size=3):
    rng = np.random.default_rng(1)
    return rng.normal(size=[rows, 5]), None if context_size is None else rng.normal(size=[rows, context_size])


@pytest.mark.parametrize("context_size", [None, 3])
@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("hidden_units", SHAPES.values(), ids=SHAPES)
def test_equals_the_naive_reference(order, hidden_units, context_size):
    network = make(order, hidden_units, context_size)
    y, context = inputs(context_size=context_size)
    expected = [
        reference.made(reference.weights_of(network), network.degrees, y[i], None if context is None else context[i], 2)
        for i in range(len(y))
    ]
    np.testing.assert_allclose(network(y, context=context), expected, atol=1e-12)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_jacobian_is_exactly_the_allowed_pattern(order, residual):
    """Zero where forbidden, non-zero wherever allowed; every parameter depends on all of the context."""
    network = make(order, (20, 20, 20), residual=residual)
    y, context = map(tf.constant, inputs(rows=1))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([y, context])
        parameters = network(y, context=context)
    by_y = tape.jacobian(parameters, y).numpy()[0, :, :, 0]
    by_context = tape.jacobian(parameters, context).numpy()[0, :, :, 0]
    allowed = network.degrees[None, :] < network.degrees[:, None]
    for p in range(2):
        np.testing.assert_array_equal(by_y[:, p] != 0, allowed)
    assert (by_context != 0).all()


def test_masks_hold_after_any_write_into_the_weights():
    network = make()
    for weight in network.weights:
        weight.assign(tf.ones_like(weight) * 3.0)
    jacobian = properties.jacobian(lambda y: network(y, context=tf.zeros([3], tf.float64))[:, 0], inputs()[0][0])
    assert (np.triu(jacobian) == 0).all()


@pytest.mark.parametrize("hidden_units", SHAPES.values(), ids=SHAPES)
def test_the_context_may_enter_every_layer(hidden_units):
    network = make(hidden_units=hidden_units, conditional_input_layers="all_layers")
    assert len(network.context_kernels) == len(hidden_units) + 1
    assert all(kernel is not None for kernel in network.context_kernels)
    y, context = inputs()
    weights = reference.weights_of(network)
    expected = [reference.made(weights, network.degrees, y[i], context[i], 2) for i in range(len(y))]
    np.testing.assert_allclose(network(y, context=context), expected, atol=1e-12)


@pytest.mark.parametrize("context_size", [None, 3])
@pytest.mark.parametrize("hidden_degrees", ["random", [[4, 0, 2, 1, 3] * 3, [1, 2, 3, 4] * 5]], ids=["random", "lists"])
def test_jacobian_of_other_hidden_degrees(hidden_degrees, context_size):
    """Zero where forbidden, and non-zero where a path of hidden units leads."""
    network = make("random", (15, 20), context_size, hidden_degrees=hidden_degrees)
    y, context = inputs(rows=1, context_size=context_size)
    jacobian = properties.jacobian(lambda y: network(y[None], context=context)[0, :, 0], y[0])
    first, second = network.hidden_degrees
    path = np.zeros([5, 5], bool)
    for i, j in np.ndindex(5, 5):
        path[i, j] = any(network.degrees[j] <= a <= b < network.degrees[i] for a in first for b in second)
    np.testing.assert_array_equal(jacobian != 0, path)
    assert path.any()


def test_residual_adds_the_layer_below():
    network = make(hidden_units=(10, 10), residual=True)
    y, context = inputs()
    first = keras.activations.elu(network.hidden_layers[0](y) + context @ network.context_kernels[0])
    second = first + keras.activations.elu(network.hidden_layers[1](first))
    expected = keras.ops.reshape(network.output_layer(second), [4, 5, 2])
    np.testing.assert_allclose(network(y, context=context), expected, atol=1e-12)


def test_starts_near_zero():
    network = AutoregressiveNetwork(2, 5, (64, 64), context_size=3)
    y, context = inputs()
    assert np.abs(network(y, context=context)).max() < 0.1


@pytest.mark.parametrize(("y_shape", "context_shape"), [([5], [3]), ([2, 4, 5], [4, 3]), ([5], [4, 3]), ([2, 1, 5], [4, 3])])
def test_leading_dimensions_broadcast(y_shape, context_shape):
    network = make()
    rng = np.random.default_rng(0)
    y, context = rng.normal(size=y_shape), rng.normal(size=context_shape)
    leading = np.broadcast_shapes(y_shape[:-1], context_shape[:-1])
    expected = network(np.broadcast_to(y, [*leading, 5]), context=np.broadcast_to(context, [*leading, 3]))
    outputs = network(y, context=context)
    assert outputs.shape == (*leading, 5, 2)
    np.testing.assert_allclose(outputs, expected, atol=1e-12)


@pytest.mark.parametrize("order", ["left-to-right", "random"])
def test_config_round_trip_rebuilds_equal_masks(order):
    # A random order without a seed, too, is stored as drawn.
    network = AutoregressiveNetwork(2, 30, (40, 40), context_size=3, input_order=order, residual=True, activation="relu")
    network.build()
    twin = AutoregressiveNetwork.from_config(network.get_config())
    twin.build()
    twin.set_weights(network.get_weights())
    y, context = np.random.default_rng(0).normal(size=[4, 30]), inputs()[1]
    np.testing.assert_array_equal(twin(y, context=context), network(y, context=context))
    assert twin.get_config() == network.get_config()


@pytest.mark.parametrize("order", ["right-to-left", "random"])
def test_the_event_shape_is_found_when_the_network_is_built(order, tmp_path):
    def make_network():
        return AutoregressiveNetwork(2, hidden_units=(8, 8), activation="relu", input_order=order, hidden_degrees="random")

    network = make_network()
    # Not settled yet: this gives another network of the same kind.
    assert AutoregressiveNetwork.from_config(network.get_config()).event_shape is None
    with pytest.raises(ValueError, match="from what it is called with"):
        network.build()
    y = inputs()[0].astype("float32")
    outputs = network(y)
    assert network.event_shape == (5,)
    assert outputs.shape == (4, 5, 2)
    twin = AutoregressiveNetwork.from_config(network.get_config())
    twin.build()
    twin.set_weights(network.get_weights())
    np.testing.assert_array_equal(twin(y), outputs)
    model = keras.Sequential([make_network()])
    model.build((None, 5))
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(y), model(y))
    with pytest.raises(ValueError, match=r"expects an event of shape \[\.\.\., 5\]"):
        network(y[:, :4])


def test_files_of_large_networks_have_one_kernel_per_layer(tmp_path):
    contents = {}
    for width in (255, 256):
        model = keras.Sequential([AutoregressiveNetwork(2, 256, (width, width))])
        model.build((None, 256))
        model.save_weights(tmp_path / "model.weights.h5")
        with h5py.File(tmp_path / "model.weights.h5") as file:
            found = []
            file.visititems(lambda name, item, found=found: found.append((name, item.ndim)) if hasattr(item, "ndim") else None)
        contents[width] = found
    assert contents[255] == contents[256]
    assert len(contents[255]) == 6


@pytest.mark.long
def test_two_threads_build_trace_and_differentiate_large_networks_at_once():
    """The graphs of one are freed while the other differentiates."""
    y = tf.constant(np.random.default_rng(0).normal(size=[2, 256]), tf.float32)

    def gradient(seed):
        network = AutoregressiveNetwork(1, 256, (256,), activation="tanh", seed=seed)
        network.build()
        for kernel in network.output_layer.trainable_weights[:-1]:
            kernel.assign(tf.ones_like(kernel))

        @tf.function
        def traced(y):
            with tf.GradientTape() as tape:
                tape.watch(y)
                total = tf.reduce_sum(network(y))
            return tape.gradient(total, [y, *network.tf_variables])

        results = [value.numpy() for value in traced(y)]
        gc.collect()
        with tf.GradientTape() as tape:
            tape.watch(y)
            total = tf.reduce_sum(network(y))
        for ours, eager in zip(results, tape.gradient(total, [y, *network.tf_variables])):
            np.testing.assert_allclose(ours, eager, rtol=1e-3, atol=1e-2)
        return True

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert all(pool.map(gradient, range(8)))


def test_layers_do_not_share_their_draw():
    network = AutoregressiveNetwork(2, 5, (20, 20, 20))
    network.build()
    kernels = [layer.kernel.numpy() for layer in network.hidden_layers[1:]]
    assert (kernels[0] != kernels[1]).any()


@pytest.mark.parametrize("initializer", [keras.initializers.HeNormal(), keras.initializers.HeNormal(seed=3)])
def test_a_given_initializer_draws_every_hidden_kernel(initializer):
    network = AutoregressiveNetwork(2, 5, (50, 50), context_size=3, kernel_initializer=initializer)
    y, context = inputs()
    assert np.abs(network(y, context=context)).max() < 0.1
    assert network.hidden_layers[1].kernel.numpy().std() > 0.05


def test_takes_the_shapes_and_defaults_that_tfp_takes():
    for event_shape in (5, (5,), [5], np.array([5]), tf.TensorShape([5])):
        assert AutoregressiveNetwork(2, event_shape=event_shape, hidden_units=None).event_shape == (5,)


def test_works_symbolically_and_in_a_functional_model():
    y, context = keras.Input((5,)), keras.Input((3,))
    network = AutoregressiveNetwork(2, 5, (16,), context_size=3)
    outputs = network(y, context=context)
    assert outputs.shape == (None, 5, 2)
    model = keras.Model([y, context], outputs)
    assert len(model.trainable_weights) == 5
    assert model([np.zeros([2, 5]), np.zeros([2, 3])]).shape == (2, 5, 2)


@pytest.mark.parametrize(
    ("policy", "compute", "variables"),
    [
        ("float32", "float32", "float32"),
        ("float64", "float64", "float64"),
        ("mixed_bfloat16", "bfloat16", "float32"),
        ("bfloat16", "bfloat16", "bfloat16"),
    ],
)
def test_dtype_policies(policy, compute, variables):
    network = AutoregressiveNetwork(2, 5, (16,), context_size=3, dtype=policy)
    y, context = inputs()
    assert network(y, context=context).dtype.name == compute
    assert {weight.dtype for weight in network.weights} == {variables}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"params": 0}, "params must be a positive integer"),
        ({"event_shape": (2, 3)}, r"expected event_shape \(D,\)"),
        ({"event_shape": 0}, "event_shape must be a positive integer"),
        ({"hidden_degrees": "most"}, "hidden_degrees must be one of equal, random, or a list.*, got 'most'"),
        ({"hidden_degrees": [[1, 2]]}, r"one degree for each unit of the layers \[8\], got lists of shapes \[\(2,\)\]"),
        ({"hidden_degrees": [[5] * 8]}, "hidden_degrees must be integers from 0 to 4"),
        ({"context_size": 0}, "context_size must be a positive integer"),
        ({"hidden_units": (8, 0)}, "number in hidden_units must be a positive integer"),
        ({"hidden_units": (8.5,)}, "number in hidden_units must be a positive integer"),
        ({"hidden_units": 8}, "must be a sequence of widths"),
        ({"weight_norm": True, "use_bias": False}, "free biases that start at zero"),
        ({"weight_norm": True, "bias_initializer": "ones"}, "free biases that start at zero"),
        ({"weight_norm": True, "bias_constraint": "non_neg"}, "free biases that start at zero"),
        ({"input_order": "upwards"}, "input_order must be one of"),
        ({"input_order": [1, 2, 3]}, "permutation of 1..5"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        AutoregressiveNetwork(**{"params": 2, "event_shape": 5, "hidden_units": (8,), **kwargs})


@pytest.mark.parametrize(
    ("context_size", "y", "context", "message"),
    [
        (3, np.zeros([2, 5]), None, "takes a context, got none"),
        (None, np.zeros([2, 5]), np.zeros([2, 3]), "takes no context, got one"),
        (3, np.zeros([2, 4]), np.zeros([2, 3]), r"expects an event of shape \[\.\.\., 5\], got \(2, 4\)"),
        (3, np.zeros([2, 5]), np.zeros([2, 2]), r"expects a context of shape \[\.\.\., 3\], got \(2, 2\)"),
        (3, np.float64(0.0), np.zeros([2, 3]), r"expects an event of shape \[\.\.\., 5\], got \(\)"),
        (None, np.zeros([2, 5], np.int32), None, "expects floating-point events"),
        (3, np.zeros([2, 5]), np.zeros([3, 3]), r"batch shape \(2,\) and a context with batch shape \(3,\)"),
        (3, np.zeros([2, 4, 5]), np.zeros([4, 2, 3]), r"batch shape \(2, 4\) and a context with batch shape \(4, 2\)"),
    ],
)
def test_bad_inputs_raise_one_line(context_size, y, context, message):
    network = AutoregressiveNetwork(2, 5, (8,), context_size=context_size)
    with pytest.raises(ValueError, match=message) as error:
        network(y, context=context)
    assert "\n" not in str(error.value)
