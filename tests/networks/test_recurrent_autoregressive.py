import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties, recurrent_reference
from tfp_iaf.networks import RecurrentAutoregressiveNetwork

ORDERS = ["left-to-right", "random"]
CELLS = {"lstm": ("lstm", 7), "gru": ("gru", 7), "two lstm": ("lstm", (7, 4)), "two gru": ("gru", (4, 7))}
every_cell = pytest.mark.parametrize(("cell", "units"), CELLS.values(), ids=CELLS)


def make(cell="lstm", units=7, order="left-to-right", context_size=3, dtype="float64"):
    network = RecurrentAutoregressiveNetwork(2, 5, units, cell, context_size, order, seed=2, dtype=dtype)
    network.build()
    properties.randomize(network)
    return network


def inputs(*shape, context_size=3):
    rng = np.random.default_rng(1)
    return rng.normal(size=[*shape, 5]), None if context_size is None else rng.normal(size=[*shape, context_size])


@pytest.mark.parametrize("context_size", [None, 3])
@pytest.mark.parametrize("order", ORDERS, ids=str)
@every_cell
def test_equals_the_naive_reference(cell, units, order, context_size):
    network = make(cell, units, order, context_size)
    y, context = inputs(4, context_size=context_size)
    rows = [None] * 4 if context is None else context
    expected = [recurrent_reference.parameters(network, y[i], rows[i]) for i in range(4)]
    np.testing.assert_allclose(network(y, context=context), expected, atol=1e-12)


@pytest.mark.parametrize("order", ["right-to-left", [2, 5, 1, 3, 4]], ids=str)
@pytest.mark.parametrize(("cell", "units"), [CELLS["lstm"], CELLS["two gru"]], ids=["lstm", "two gru"])
def test_jacobian_is_exactly_the_allowed_pattern(cell, units, order):
    """Zero where forbidden, non-zero wherever allowed; every parameter depends on all of the context."""
    network = make(cell, units, order)
    y, context = map(tf.constant, inputs())
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([y, context])
        parameters = network(y, context=context)
    by_y, by_context = (tape.jacobian(parameters, x, experimental_use_pfor=False).numpy() for x in (y, context))
    allowed = network.degrees[None, :] < network.degrees[:, None]
    for p in range(2):
        np.testing.assert_array_equal(by_y[:, p] != 0, allowed)
    assert (by_context != 0).all()


@every_cell
def test_advancing_gives_the_parameters_one_entry_at_a_time(cell, units):
    network = make(cell, units, "random")
    y, context = map(tf.constant, inputs(4))
    state, previous = network.initial_state(4), tf.zeros([4, 1], tf.float64)
    expected = network(y, context=context)
    for entry in np.argsort(network.degrees):
        parameters, state = network.advance(previous, context, state)
        np.testing.assert_allclose(parameters, expected[:, entry], atol=1e-12)
        previous = y[:, entry : entry + 1]


@pytest.mark.parametrize(
    ("y_shape", "context_shape"), [((5,), (3,)), ((4, 5), (3,)), ((5,), (4, 3)), ((2, 4, 5), (4, 3)), ((0, 5), (0, 3))], ids=str
)
def test_leading_dimensions_broadcast(y_shape, context_shape):
    network = make()
    rng = np.random.default_rng(0)
    y, context = rng.normal(size=y_shape), rng.normal(size=context_shape)
    leading = np.broadcast_shapes(y_shape[:-1], context_shape[:-1])
    expected = network(np.broadcast_to(y, [*leading, 5]), context=np.broadcast_to(context, [*leading, 3]))
    outputs = network(y, context=context)
    assert outputs.shape == (*leading, 5, 2)
    np.testing.assert_allclose(outputs, expected, atol=1e-12)


def test_modes_agree():
    for cell, units in (CELLS["lstm"], CELLS["two gru"]):
        network = make(cell, units, "random")
        properties.check_modes_agree(lambda y, c, network=network: network(y, context=c), *inputs(4), atol=1e-12)


@every_cell
def test_starts_near_zero(cell, units):
    network = RecurrentAutoregressiveNetwork(2, 5, units, cell, context_size=3)
    y, context = inputs(4)
    assert np.abs(network(y, context=context)).max() < 0.02


@pytest.mark.parametrize("order", ["left-to-right", "random"])
@every_cell
def test_config_round_trip(cell, units, order):
    # A random order without a seed, too, is stored as drawn.
    network = RecurrentAutoregressiveNetwork(2, 5, units, cell, context_size=3, input_order=order)
    network.build()
    twin = RecurrentAutoregressiveNetwork.from_config(network.get_config())
    twin.build()
    twin.set_weights(network.get_weights())
    y, context = inputs(4)
    np.testing.assert_array_equal(twin(y, context=context), network(y, context=context))
    assert twin.get_config() == network.get_config()


def test_a_functional_model_is_trained_and_saved(tmp_path):
    y, context = keras.Input((5,)), keras.Input((3,))
    outputs = RecurrentAutoregressiveNetwork(2, 5, (7, 6), context_size=3)(y, context=context)
    assert outputs.shape == (None, 5, 2)
    model = keras.Model([y, context], outputs)
    assert len(model.trainable_weights) == 8
    before = model.get_weights()
    model.compile("adam", "mse")
    data = list(inputs(8))
    model.fit(data, np.ones([8, 5, 2]), verbose=0)
    assert all((new != old).any() for new, old in zip(model.get_weights(), before))
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(data), model(data))


@pytest.mark.parametrize(
    ("policy", "compute", "variables"),
    [
        ("float32", "float32", "float32"),
        ("float64", "float64", "float64"),
        ("mixed_bfloat16", "bfloat16", "float32"),
        ("bfloat16", "bfloat16", "bfloat16"),
    ],
)
@pytest.mark.parametrize(("cell", "units"), [CELLS["lstm"], CELLS["two gru"]], ids=["lstm", "two gru"])
def test_dtype_policies(cell, units, policy, compute, variables):
    network = RecurrentAutoregressiveNetwork(2, 5, units, cell, context_size=3, dtype=policy)
    y, context = inputs(4)
    assert network(y, context=context).dtype.name == compute
    assert {weight.dtype for weight in network.weights} == {variables}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"params": 0}, "params must be a positive integer"),
        ({"event_shape": (2, 3)}, r"recurrent network acts on vectors: expected event_shape \(D,\)"),
        ({"context_size": 0}, "context_size must be a positive integer"),
        ({"units": 0}, "units must be a positive integer"),
        ({"units": (8, 2.5)}, "units must be a positive integer"),
        ({"units": ()}, "units must be a size or a non-empty sequence"),
        ({"cell": "rnn"}, "cell must be one of lstm, gru, got 'rnn'"),
        ({"cell": None}, "cell must be .*, got None"),
        ({"input_order": "upwards"}, "input_order must be one of"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        RecurrentAutoregressiveNetwork(**{"params": 2, "event_shape": 5, "units": 8, **kwargs})


@pytest.mark.parametrize(
    ("context_size", "y", "context", "message"),
    [
        (3, np.zeros([2, 5]), None, "takes a context, got none"),
        (None, np.zeros([2, 5]), np.zeros([2, 3]), "takes no context, got one"),
        (3, np.zeros([2, 4]), np.zeros([2, 3]), r"expects an event of shape \[\.\.\., 5\], got \(2, 4\)"),
        (None, np.zeros([2, 5], np.int32), None, "expects floating-point events"),
        (3, np.zeros([2, 5]), np.zeros([3, 3]), "which do not broadcast"),
    ],
)
def test_bad_inputs_raise_one_line(context_size, y, context, message):
    network = RecurrentAutoregressiveNetwork(2, 5, 8, context_size=context_size)
    with pytest.raises(ValueError, match=message) as error:
        network(y, context=context)
    assert "\n" not in str(error.value)
