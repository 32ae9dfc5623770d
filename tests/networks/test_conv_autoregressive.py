import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties, reference
from tfp_iaf.networks import ConvAutoregressiveNetwork

EVENT_SHAPE = (4, 5, 3)
ORDERS = ["left-to-right", "right-to-left"]


def make(order="left-to-right", filters=(6,), kernel_size=3, context_channels=2, params=2, dtype="float64", **kwargs):
    network = ConvAutoregressiveNetwork(
        params,
        EVENT_SHAPE,
        filters,
        kernel_size=kernel_size,
        context_channels=context_channels,
        input_order=order,
        dtype=dtype,
        **kwargs,
    )
    network.build()
    properties.randomize(network)
    return network


def inputs(rows=2, context_channels=2):
    rng = np.random.default_rng(1)
    context = None if context_channels is None else rng.normal(size=[rows, *EVENT_SHAPE[:2], context_channels])
    return rng.normal(size=[rows, *EVENT_SHAPE]), context


@pytest.mark.parametrize("context_channels", [None, 2])
@pytest.mark.parametrize(("filters", "kernel_size"), [((), 3), ((6,), 3), ((7, 6), (3, 5)), ((6,), (2, 4)), ((6,), 1)], ids=str)
def test_equals_the_naive_reference(filters, kernel_size, context_channels):
    network = make(filters=filters, kernel_size=kernel_size, context_channels=context_channels)
    y, context = inputs(rows=1, context_channels=context_channels)
    weights = reference.weights_of(network)
    expected = reference.conv_made(weights, y[0], None if context is None else context[0], 2)
    np.testing.assert_allclose(network(y, context=context)[0], expected, atol=1e-12)


def may_depend(before, entry, num_layers, kernel_size):
    """Whether parameters of `entry` depend on `before`, both (row, column, channel), by raster order and receptive field.

    A layer goes up a row or more with any column in reach, or stays in the row and goes left.
    """
    height, width = kernel_size
    up, left, right = entry[0] - before[0], width // 2, (width - 1) // 2
    if before >= entry or up > num_layers * (height // 2):
        return False
    layers_going_up = min(num_layers, up)
    return -num_layers * left <= before[1] - entry[1] <= layers_going_up * right


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("filters", "kernel_size"), [((), (3, 3)), ((6,), (3, 3)), ((6, 6), (3, 3)), ((6,), (5, 3)), ((6,), (2, 4))]
)
def test_jacobian_is_exactly_the_allowed_pattern(filters, kernel_size, order, residual):
    """Zero where forbidden, non-zero wherever the receptive field allows."""
    network = make(order, filters, kernel_size, residual=residual, activation="tanh")
    y, context = map(tf.constant, inputs(rows=1))
    with tf.GradientTape() as tape:
        tape.watch(y)
        parameters = network(y, context=context)
    jacobian = tape.jacobian(parameters, y).numpy()[0, :, :, :, :, 0]
    entries = list(np.ndindex(EVENT_SHAPE))
    allowed = np.array([[may_depend(b, e, len(filters) + 1, kernel_size) for b in entries] for e in entries])
    if order == "right-to-left":
        # The mirror image.
        allowed = allowed[::-1, ::-1]
    allowed = allowed.reshape([*EVENT_SHAPE, *EVENT_SHAPE])
    for p in range(2):
        np.testing.assert_array_equal(jacobian[:, :, :, p] != 0, allowed)
    before = network.degrees.reshape([1, -1]) < network.degrees.reshape([-1, 1])
    assert not (allowed.reshape(before.shape) & ~before).any()


def test_right_to_left_is_the_mirror_image():
    forward, backward = make(), make("right-to-left")
    for ours, mirrored in zip([*forward.hidden_layers, forward.output_layer], [*backward.hidden_layers, backward.output_layer]):
        # The hidden channels have the same degrees in both; those of event and parameters run backwards.
        inputs_order = slice(None, None, -1) if ours is forward.hidden_layers[0] else slice(None)
        outputs = np.arange(len(ours.out_degrees))
        if ours is forward.output_layer:
            outputs = outputs.reshape([-1, 2])[::-1].reshape([-1])
        mirrored._kernel.assign(ours.kernel.numpy()[::-1, ::-1, inputs_order][..., outputs])
        mirrored.bias.assign(ours.bias.numpy()[outputs])
    backward.context_kernels[0].assign(forward.context_kernels[0])
    y, context = inputs()
    expected = forward(y[:, ::-1, ::-1, ::-1], context=context[:, ::-1, ::-1]).numpy()[:, ::-1, ::-1, ::-1]
    np.testing.assert_allclose(backward(y, context=context), expected, atol=1e-12)


def test_masks_hold_after_any_write_into_the_weights():
    network = make()
    for weight in network.weights:
        weight.assign(tf.ones_like(weight) * 3.0)
    y, context = map(tf.constant, inputs(rows=1))
    jacobian = properties.jacobian(lambda y: network(y, context=context[0])[..., 0], y[0])
    assert (np.triu(jacobian) == 0).all()


def test_every_parameter_depends_on_the_context_of_its_pixel():
    network = make()
    y, context = map(tf.constant, inputs(rows=1))
    with tf.GradientTape() as tape:
        tape.watch(context)
        parameters = network(y, context=context)
    by_context = tape.jacobian(parameters, context).numpy()[0, :, :, :, :, 0]
    for row, column in np.ndindex(EVENT_SHAPE[:2]):
        assert (by_context[row, column, :, :, row, column] != 0).all()


def test_starts_near_zero():
    network = ConvAutoregressiveNetwork(2, EVENT_SHAPE, (16, 16), context_channels=2)
    y, context = inputs()
    assert np.abs(network(y.astype("float32"), context=context.astype("float32"))).max() < 0.05


@pytest.mark.parametrize("leading", [(), (2,), (3, 2), (0,)], ids=str)
def test_any_leading_dimensions(leading):
    network = make()
    rng = np.random.default_rng(2)
    y, context = rng.normal(size=[*leading, *EVENT_SHAPE]), rng.normal(size=[4, 5, 2])
    parameters = network(y, context=context)
    assert parameters.shape == (*leading, *EVENT_SHAPE, 2)
    rows = y.reshape([-1, *EVENT_SHAPE])
    each = [network(row[None], context=context[None])[0] for row in rows]
    np.testing.assert_allclose(parameters, np.reshape(each, parameters.shape), atol=1e-12)


def test_modes_agree():
    network = make(dtype="float32")
    y, context = (x.astype("float32") for x in inputs())
    properties.check_modes_agree(lambda y, context: network(y, context=context), y, context, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_bfloat16"])
def test_config_round_trip(dtype, tmp_path):
    y, context = keras.Input(EVENT_SHAPE), keras.Input((4, 5, 2))
    network = make("right-to-left", (7, 6), (3, 5), residual=True, activation="tanh", dtype=dtype)
    model = keras.Model([y, context], network(y, context=context))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(inputs()), model(inputs()))
    assert loaded.layers[-1].get_config() == network.get_config()


SERIES_SHAPE = (7, 3)


def make_series(order="left-to-right", filters=(6,), kernel_size=3, context_channels=None, **kwargs):
    kwargs = {"activation": "tanh", "dtype": "float64", **kwargs}
    network = ConvAutoregressiveNetwork(2, SERIES_SHAPE, filters, kernel_size, context_channels, order, **kwargs)
    network.build()
    properties.randomize(network)
    return network


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("filters", "kernel_size"), [((), 2), ((6,), 3), ((6, 6), 2), ((6,), 1)], ids=str)
def test_jacobian_over_a_series_is_exactly_the_allowed_pattern(filters, kernel_size, order):
    """Zero where forbidden, non-zero for all that lies before within the receptive field."""
    network = make_series(order, filters, kernel_size)
    y = np.random.default_rng(0).normal(size=SERIES_SHAPE)
    reach = (len(filters) + 1) * (kernel_size - 1)
    entries = list(np.ndindex(SERIES_SHAPE))
    allowed = np.array([[before < entry and entry[0] - before[0] <= reach for before in entries] for entry in entries])
    if order == "right-to-left":
        allowed = allowed[::-1, ::-1]
    for p in range(2):
        np.testing.assert_array_equal(properties.jacobian(lambda y, p=p: network(y)[..., p], y) != 0, allowed)
    before = network.degrees.reshape([1, -1]) < network.degrees.reshape([-1, 1])
    assert not (allowed & ~before).any()


@pytest.mark.parametrize("leading", [(), (2,), (3, 2), (0,)], ids=str)
def test_series_equal_images_of_one_row(leading):
    """An image's kernel reaches width // 2 moments back."""
    series = make_series(filters=(6, 5), kernel_size=3, context_channels=2)
    image = ConvAutoregressiveNetwork(2, (1, *SERIES_SHAPE), (6, 5), (1, 5), 2, activation="tanh", dtype="float64")
    image.build()
    for ours, theirs in zip([*series.hidden_layers, series.output_layer], [*image.hidden_layers, image.output_layer]):
        theirs._kernel.assign(np.pad(ours.kernel, [[0, 2], [0, 0], [0, 0]])[np.newaxis])
        theirs.bias.assign(ours.bias)
    image.context_kernels[0].assign(series.context_kernels[0])
    rng = np.random.default_rng(1)
    y, context = rng.normal(size=[*leading, *SERIES_SHAPE]), rng.normal(size=[7, 2])
    parameters = series(y, context=context)
    assert parameters.shape == (*leading, *SERIES_SHAPE, 2)
    expected = image(y[..., np.newaxis, :, :], context=context[np.newaxis])
    np.testing.assert_allclose(parameters, np.reshape(expected, parameters.shape), atol=1e-12)


def test_modes_agree_over_series():
    network = make_series("right-to-left", context_channels=2)
    rng = np.random.default_rng(1)
    arguments = rng.normal(size=[2, *SERIES_SHAPE]), rng.normal(size=[2, 7, 2])
    properties.check_modes_agree(lambda y, context: network(y, context=context), *arguments, atol=1e-12)


def test_config_round_trip_of_series_with_all_arguments():
    network = make_series(
        "right-to-left", kernel_initializer="he_normal", kernel_regularizer="l2", bias_constraint="max_norm", context_channels=2
    )
    twin = ConvAutoregressiveNetwork.from_config(network.get_config())
    twin.build()
    twin.set_weights(network.get_weights())
    y = np.random.default_rng(0).normal(size=[2, *SERIES_SHAPE])
    context = np.ones([7, 2])
    np.testing.assert_array_equal(twin(y, context=context), network(y, context=context))
    assert twin.get_config() == network.get_config()
    assert len(network.losses) == 3


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"params": 0}, "params must be a positive integer"),
        ({"event_shape": 5}, r"expects event_shape \(H, W, C\) or \(T, C\)"),
        ({"event_shape": (5,)}, r"expects event_shape \(H, W, C\) or \(T, C\)"),
        ({"event_shape": (6, 2), "kernel_size": (3, 3)}, r"must be an integer for events of shape \(6, 2\)"),
        ({"event_shape": (4, 0, 2)}, "event_shape must be a positive integer"),
        ({"context_channels": 0}, "context_channels must be a positive integer"),
        ({"filters": (8, 0)}, "number in filters must be a positive integer"),
        ({"filters": 8}, "filters must be a sequence"),
        ({"kernel_size": 0}, "kernel_size must be a positive integer"),
        ({"kernel_size": (3, 3, 3)}, "must be an integer or two of them"),
        ({"input_order": "random"}, "must be one of left-to-right, right-to-left"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ConvAutoregressiveNetwork(**{"params": 2, "event_shape": (4, 4, 2), **kwargs})


@pytest.mark.parametrize(
    ("y", "context", "message"),
    [
        (np.zeros([1, 4, 5, 4], "float32"), np.zeros([1, 4, 5, 2], "float32"), r"event of shape \[..., 4, 5, 3\]"),
        (np.zeros([5, 3], "float32"), np.zeros([1, 4, 5, 2], "float32"), r"event of shape \[..., 4, 5, 3\]"),
        (np.zeros([1, 4, 5, 3], "float32"), np.zeros([1, 2], "float32"), r"context of shape \[..., 4, 5, 2\]"),
        (np.zeros([1, 4, 5, 3], "float32"), None, "takes a context, got none"),
        (np.zeros([1, 4, 5, 3], "int32"), np.zeros([1, 4, 5, 2], "float32"), "floating-point"),
        (np.zeros([2, 4, 5, 3], "float32"), np.zeros([3, 4, 5, 2], "float32"), "which do not broadcast"),
    ],
)
def test_bad_inputs(y, context, message):
    with pytest.raises(ValueError, match=message):
        make()(y, context=context)
