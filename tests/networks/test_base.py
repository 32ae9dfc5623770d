"""The contract of networks: what a user writes in one file of their own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tests.bijectors.constructors import OwnNetwork
from tfp_iaf.bijectors import InverseAutoregressiveFlow, inverses
from tfp_iaf.networks import AutoregressiveNetwork, ConvAutoregressiveNetwork, Network


@keras.saving.register_keras_serializable("tests")
class Moving(Network):
    """The location of an entry is a learned multiple of the sum of those before it, shifted by the context's."""

    def __init__(self, event_shape, **kwargs):
        super().__init__(params=1, event_shape=event_shape, **kwargs)
        self.degrees = np.arange(1, np.prod(self.event_shape) + 1).reshape(self.event_shape)

    def build(self, input_shape=None):
        self.factors = [self.add_weight(name="factor", shape=(), initializer="ones")]

    def call(self, y, context=None):
        location = self.factors[0] * keras.ops.cumsum(y, axis=-1) - y
        if context is not None:
            location = location + keras.ops.sum(context, axis=-1, keepdims=True)
        return location[..., None]

    def get_config(self):
        config = super().get_config()
        del config["params"]
        return config


def test_what_a_subclass_gets():
    network = Moving(3, context_size=2)
    assert (network.event_shape, network.context_shape, network.params) == ((3,), (2,), 1)
    assert network.inverses == ("fixed_point", "sequential")
    np.testing.assert_array_equal(network.degrees, [1, 2, 3])
    y, context = np.array([[1.0, 2.0, 3.0]]), np.ones([4, 2])
    np.testing.assert_array_equal(network(y, context=context)[0, :, 0], [2.0, 3.0, 5.0])
    assert network(keras.Input((3,)), context=keras.Input((2,))).shape == (None, 3, 1)
    assert [variable.shape.rank for variable in network.tf_variables] == [0]
    assert Moving.from_config(network.get_config()).get_config() == network.get_config()


def test_events_of_any_rank_have_contexts_of_their_axes():
    for event_shape, context_shape in ((4, (2,)), ((3, 4), (3, 2)), ((5, 3, 4), (5, 3, 2))):
        assert Moving(event_shape, context_size=2).context_shape == context_shape
        assert Moving(event_shape).context_shape is None


def test_a_call_without_the_argument_context():
    class Plain(Moving):
        def call(self, y):
            return y[..., None]

    assert Plain(3)(np.ones([2, 3])).shape == (2, 3, 1)


def test_tfp_s_word_for_the_context():
    network = Moving(3, context_size=2)
    y, context = np.ones([2, 3]), np.ones([2, 2])
    np.testing.assert_array_equal(network(y, conditional_input=context), network(y, context=context))
    with pytest.raises(ValueError, match="two names of one"):
        network(y, context=context, conditional_input=context)


def test_a_network_in_a_model_is_saved_and_checkpointed(tmp_path):
    model = keras.Sequential([keras.Input((3,)), Moving(3)])
    model.layers[-1].factors[0].assign(5.0)
    model.save(tmp_path / "model.keras")
    data = np.ones([2, 3])
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(data), model(data))
    other = Moving(3)
    other.build()
    path = tf.train.Checkpoint(network=model.layers[-1]).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(network=other).restore(path).assert_consumed()
    np.testing.assert_array_equal(other.factors[0], 5.0)


@pytest.mark.parametrize("degrees", [[1.0, 2.0, 3.0], [1, 2], [[1, 2, 3]], 1], ids=str)
def test_bad_degrees(degrees):
    class Bad(Network):
        def __init__(self):
            super().__init__(params=1, event_shape=3)
            self.degrees = degrees

    with pytest.raises(ValueError, match=r"degrees must be integers of the event's shape \(3,\), got"):
        Bad()
    with pytest.raises(AttributeError, match=r"sets self\.degrees"):
        _ = Network(1, 3).degrees


@pytest.mark.parametrize(
    ("y_shape", "context_shape", "fits"),
    [
        ((2, 3), (2, 2), True),
        ((2, 3), (1, 2), True),
        ((3,), (7, 2), True),
        ((5, 1, 3), (4, 2), True),
        ((2, 3), (3, 2), False),
        ((5, 2, 3), (4, 2), False),
        ((5, 2, 3), (4, 1, 2), False),
    ],
    ids=str,
)
def test_batches_broadcast_or_are_refused_in_one_line(y_shape, context_shape, fits):
    network = Moving(3, context_size=2)
    y, context = np.ones(y_shape), np.ones(context_shape)
    if fits:
        assert network(y, context=context).shape == (*np.broadcast_shapes(y_shape[:-1], context_shape[:-1]), 3, 1)
        return
    with pytest.raises(ValueError, match="which do not broadcast") as error:
        network(y, context=context)
    assert "\n" not in str(error.value)
    # Unknown sizes are left to TensorFlow.
    network.check_inputs(keras.Input((3,)), context[:1])
    network.check_inputs(keras.KerasTensor((None, *y_shape[1:])), np.ones(context_shape[-1:]))


@pytest.mark.parametrize("degrees", [[0, 1, 2], [2, 3, 4]])
def test_degrees_out_of_range_are_refused(degrees):
    network = OwnNetwork(3)
    with pytest.raises(ValueError, match="degrees must lie within 1 and the number of entries, 3"):
        network.degrees = np.array(degrees)


def test_a_subclass_with_a_call_of_its_own_is_inverted_by_search():
    """The inverse in blocks reads the layers, and knows nothing of what another `call` makes of them."""

    class Tripled(AutoregressiveNetwork):
        def call(self, y, context=None):
            return 3.0 * super().call(y, context=context)

    class Shifted:
        def evaluate(self, y, context=None):
            parameters, pre_activations = super().evaluate(y, context)
            return parameters + 1.0, pre_activations

    class Mixed(Shifted, AutoregressiveNetwork):
        pass

    class Named(AutoregressiveNetwork):
        pass

    assert Named.inverses == AutoregressiveNetwork.inverses
    for kind in (Tripled, Mixed):
        assert kind.inverses == ("fixed_point", "sequential")
        network = kind(2, 4, (8,), dtype="float64")
        network.build()
        properties.randomize(network)
        flow = InverseAutoregressiveFlow(network)
        y = tf.constant(np.random.default_rng(0).normal(size=[3, 4]))
        np.testing.assert_allclose(flow.inverse(properties.fresh(flow.forward(y))), y, atol=1e-9)
        for inverse in ("blocks", inverses.Blocks()):
            with pytest.raises(ValueError, match=f"does not serve this {kind.__name__} .*choose auto or one of fixed_point"):
                InverseAutoregressiveFlow(network, inverse=inverse)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AutoregressiveNetwork(2, 4, (8,), activation="softmax"), "act on each entry alone"),
        (lambda: AutoregressiveNetwork(2, 4, (8,), activation=keras.layers.PReLU()), "got the layer PReLU"),
        (lambda: ConvAutoregressiveNetwork(2, (3, 2), (8,), activation="log_softmax"), "act on each entry alone"),
        (
            lambda: ConvAutoregressiveNetwork(2, (3, 2), (8,), conditional_input_layers="all"),
            "must be one of first_layer, all_layers",
        ),
    ],
)
def test_what_would_not_be_autoregressive_or_would_be_ignored_is_refused(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


class WithoutParameters(Network):
    def __init__(self, **kwargs):
        super().__init__(params=1, event_shape=2, **kwargs)
        self.degrees = np.arange(1, 3)

    def call(self, y, context=None):
        return y


def test_parameters_of_the_wrong_shape():
    with pytest.raises(ValueError, match=r"WithoutParameters.call must return .* \[\.\.\., 2, 1\], got \(3, 2\)"):
        WithoutParameters()(np.zeros([3, 2], np.float32))
