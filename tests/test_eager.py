import gc
import threading
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties
from tests.bijectors.constructors import DISTINCT, FLOWS, OwnNetwork, flow_on, normals
from tfp_iaf import IAF, VAE, RecurrentIAF, _eager
from tfp_iaf.bijectors import InverseAutoregressiveFlow
from tfp_iaf.layers import folded_masks, initialize_weight_normalization
from tfp_iaf.networks import AutoregressiveNetwork, Network

tfb = tfp.bijectors

pytestmark = pytest.mark.compiled


class TracedNetwork(OwnNetwork):
    """Counts how often its Python code runs: when traced, and in calls operation by operation."""

    compiles_eager_calls = True


def make(context_size=3, **kwargs):
    network = TracedNetwork(5, context_size, dtype="float64")
    flow = flow_on(network, (3,), **kwargs)
    network.num_evaluations = 0
    return flow


@pytest.mark.parametrize("context_size", [None, 3])
def test_new_flows_contexts_and_batch_sizes_do_not_retrace(context_size):
    network = make(context_size).network
    for size in (3, 4, 1):
        context = None if context_size is None else normals(size, context_size, seed=size)
        flow = InverseAutoregressiveFlow(network, context=context)
        flow.forward_and_log_det(normals(size, 5))
        # One y for all contexts, and another context for every y, are the same function.
        flow.forward_and_log_det(normals(1, 5))
    assert network.num_evaluations == 1
    # The first inverse runs operation by operation, the second one is traced.
    for size in (3, 4):
        context = None if context_size is None else normals(size, context_size)
        InverseAutoregressiveFlow(network, context=context).inverse_and_log_det(normals(size, 5))
    after_two_inverses = network.num_evaluations
    make_another = None if context_size is None else normals(7, context_size)
    InverseAutoregressiveFlow(network, context=make_another).inverse_and_log_det(normals(7, 5))
    assert network.num_evaluations == after_two_inverses
    with _eager.uncompiled():
        flow.forward_and_log_det(normals(1, 5))
    assert network.num_evaluations == after_two_inverses + 1


@pytest.mark.parametrize("make_flow", [make for name, make in DISTINCT.items() if name in FLOWS])
def test_values_and_gradients_equal_those_operation_by_operation(make_flow):
    flow, y = make_flow((3,)), make_flow.events(3)

    def results():
        with tf.GradientTape() as tape:
            tape.watch(y)
            (z, log_det), (back, log_det_at_back) = flow.forward_and_log_det(y), flow.inverse_and_log_det(y)
            loss = tf.reduce_sum(z**2 + tf.sin(back)) + tf.reduce_sum(log_det * log_det_at_back)
        return [z, log_det, back, log_det_at_back, *tape.gradient(loss, [y, *flow.trainable_variables])]

    for seed in (0, 1):  # The weights are read with each call.
        properties.randomize(flow.network, seed=seed)
        first, compiled = results(), results()
        with _eager.uncompiled():
            expected = results()
        for ours, again, other in zip(first, compiled, expected, strict=True):
            np.testing.assert_allclose(ours, other, atol=1e-9, rtol=1e-9)
            np.testing.assert_allclose(again, other, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("activation", ["relu", "elu"])
def test_equal_calls_give_equal_bits(activation):
    """The first inverse, which is not compiled, and the following ones, which are."""
    network = AutoregressiveNetwork(2, 6, (32, 32), context_size=3, activation=activation, seed=1)
    network.build()
    properties.randomize(network)
    flow = InverseAutoregressiveFlow(network, context=tf.cast(normals(40, 3), tf.float32))
    y = tf.cast(normals(40, 6), tf.float32)
    first, *others = [[*flow.forward_and_log_det(y), *flow.inverse_and_log_det(y)] for _ in range(3)]
    for other in others:
        for ours, theirs in zip(first, other):
            np.testing.assert_array_equal(ours, theirs)


class CountingIAF(IAF):
    """Counts how often its Python code runs."""

    compiles_eager_calls = True

    def flows(self, flow_inputs):
        self.num_evaluations = getattr(self, "num_evaluations", 0) + 1
        return super().flows(flow_inputs)


def test_a_posterior_is_traced_once_for_each_kind_of_call():
    posterior = CountingIAF(4, hidden_units=(12,), seed=0)
    posterior(normals(3, 8))
    posterior.num_evaluations = 0
    for batch in (3, 5):
        posterior(normals(batch, 8))
    assert posterior.num_evaluations == 0
    for seed in (1, 2):
        posterior(normals(3, 8), seed=seed)
    assert posterior.num_evaluations == 0
    for num_samples in (2, tf.constant(2)):
        assert posterior(normals(3, 8), num_samples=num_samples)[0].shape == (2, 3, 4)
    assert posterior.num_evaluations == 1
    for batch in (3, 3, 5, 7):  # The first density runs operation by operation, the second one is traced.
        posterior(normals(batch, 8), value=normals(batch, 4))
    assert posterior.num_evaluations == 3


@pytest.mark.parametrize(
    "make_posterior", [lambda: IAF(4, hidden_units=(12,), seed=0), lambda: RecurrentIAF(4, units=5, seed=0)]
)
def test_a_posterior_gives_what_it_gives_operation_by_operation(make_posterior):
    posterior, features = make_posterior(), tf.cast(normals(3, 8), tf.float32)
    posterior(features)

    def results(z):
        with tf.GradientTape() as tape:
            tape.watch([features, z])
            drawn, log_q = posterior(features, seed=1)
            mean, log_q_of_mean = posterior(features, sample=False)
            log_q_of_z = posterior(features, value=z)
            loss = sum(map(tf.reduce_sum, (drawn**2, log_q, mean**2, log_q_of_mean, log_q_of_z)))
        gradients = tape.gradient(loss, [features, z, *posterior.tf_variables])
        return [drawn, log_q, mean, log_q_of_mean, log_q_of_z, *(each for each in gradients if each is not None)]

    z = tf.cast(normals(3, 4), tf.float32)
    for seed in (0, 1):  # The weights are read with each call.
        properties.randomize(posterior, seed=seed)
        first, compiled = results(z), results(z)
        with _eager.uncompiled():
            expected = results(z)
        for ours, again, other in zip(first, compiled, expected, strict=True):
            np.testing.assert_allclose(ours, other, atol=1e-4, rtol=1e-4)
            np.testing.assert_allclose(again, other, atol=1e-4, rtol=1e-4)


class WithSwitch:
    is_on = True


class SwitchOfFlows(WithSwitch):
    """A mixin."""

    def flows(self, flow_inputs):
        return super().flows(flow_inputs) if self.is_on else []


class SwitchOfScale(WithSwitch):
    def base_scale(self, loc, unconstrained):
        return super().base_scale(loc, unconstrained) * (1.0 if self.is_on else 2.0)


class SwitchOfNoise(WithSwitch):
    def noise(self, parameters, num_samples=None, seed=None):
        return super().noise(parameters, num_samples, seed) * (1.0 if self.is_on else 2.0)


class SwitchOfReading(WithSwitch):
    def read(self, features):
        return super().read(features if self.is_on else 2.0 * features)


class SwitchOfDraws(WithSwitch):
    def draw(self, parameters, noise, by_entry=False):
        return super().draw(parameters, noise if self.is_on else -noise, by_entry)


@pytest.mark.parametrize("mixin", [SwitchOfFlows, SwitchOfScale, SwitchOfNoise, SwitchOfReading, SwitchOfDraws])
def test_code_of_a_users_own_is_not_traced(mixin):
    """It may depend on whatever Python knows."""

    class Switched(mixin, IAF):
        pass

    class Further(Switched):
        pass

    features = normals(3, 8)
    for kind in (Switched, Further):
        posterior = kind(4, hidden_units=(12,))
        with_switch_on, _ = posterior(features, seed=1)
        posterior.is_on = False
        with_switch_off, _ = posterior(features, seed=1)
        assert np.abs(with_switch_on - with_switch_off).max() > 1e-3


def test_a_network_of_a_users_own_is_not_traced():
    """An attribute that changes counts; a network that declares its calls fixed is traced."""

    @keras.saving.register_keras_serializable("tests")
    class Scaled(AutoregressiveNetwork):
        gain = 0.0

        def call(self, y, context=None):
            return self.gain * super().call(y, context) + self.gain

    assert AutoregressiveNetwork.compiles_eager_calls
    assert not Scaled.compiles_eager_calls
    network, y = Scaled(1, 3, (4,)), tf.ones([2, 3])
    for gain in (0.0, 1.0, 5.0):
        network.gain = gain
        flow = InverseAutoregressiveFlow(network, bijector_fn="location")
        z = flow.forward_and_log_det(y)[0]
        np.testing.assert_allclose(z, y - network(y)[..., 0], rtol=1e-6)
        np.testing.assert_allclose(flow.inverse_and_log_det(z)[0], y, atol=1e-5)


@pytest.mark.parametrize("trainable", [True, False])
def test_variables_that_a_map_reads_are_read_anew(trainable):
    """TFP shows a flow no variables of a function: what it remembers for a tensor must not outlive an update."""
    factor = tf.Variable(1.5, trainable=trainable)

    def scaled(parameters):
        return tfb.Chain([tfb.Shift(parameters[..., 0]), tfb.Scale(tf.exp(parameters[..., 1]) * factor)])

    flow = InverseAutoregressiveFlow(AutoregressiveNetwork(2, 3, (4,)), bijector_fn=(scaled, 2))
    y = tf.ones([2, 3])
    for value in (1.5, 3.0, 0.5):
        factor.assign(value)
        z = flow.forward(y)
        np.testing.assert_array_equal(z, flow.forward(tf.identity(y)))
        np.testing.assert_array_equal(flow.forward_log_det_jacobian(y), flow.forward_log_det_jacobian(tf.identity(y)))
    if trainable:
        with pytest.raises(ValueError, match="reads trainable variables that are no weights of the network") as error:
            flow.inverse(tf.identity(z))
        assert "\n" not in str(error.value)
    for inverse in ("sequential", *(() if trainable else ("blocks",))):
        flow = InverseAutoregressiveFlow(flow.network, bijector_fn=(scaled, 2), inverse=inverse)
        np.testing.assert_allclose(flow.inverse(tf.identity(z)), y, atol=1e-5)


def test_a_reader_that_keras_changes_is_read_anew():
    posterior, features = IAF(4, hidden_units=(12,), seed=0), tf.cast(normals(3, 8), tf.float32)
    before, _ = posterior(features, seed=1)
    posterior.base_layer.enable_lora(2)
    for weight in posterior.base_layer.trainable_weights:
        weight.assign(tf.ones(weight.shape))
    after, _ = posterior(features, seed=1)
    with _eager.uncompiled():
        expected, _ = posterior(features, seed=1)
    assert np.abs(after - before).max() > 1e-2
    np.testing.assert_allclose(after, expected, atol=1e-4)


@pytest.mark.parametrize("kind", [list, np.array, tf.Variable])
def test_a_value_may_be_what_tensorflow_converts(kind):
    posterior, features = IAF(2, hidden_units=(12,), seed=0), tf.cast(normals(3, 8), tf.float32)
    z = [[0.1, 0.2]] * 3
    expected = posterior(features, value=tf.constant(z))
    for _ in range(2):
        np.testing.assert_allclose(posterior(features, value=kind(z)), expected, atol=1e-5)


def test_a_score_may_be_an_array():
    flow = FLOWS["affine"]((3,))
    y, score = normals(3, 5), normals(3, 5, seed=1)
    for ours, other in zip(flow.forward_and_score(np.array(y), np.array(score)), flow.forward_and_score(y, score)):
        np.testing.assert_allclose(ours, other, atol=1e-12)


def test_a_network_is_freed_after_use():
    def use():
        flow = make()
        with tf.GradientTape() as tape:
            y, log_det = flow.inverse_and_log_det(normals(3, 5))
            z, _ = flow.forward_and_log_det(y)
            loss = tf.reduce_sum(z) + tf.reduce_sum(log_det)
        tape.gradient(loss, flow.trainable_variables)
        return weakref.ref(flow.network)

    network = use()
    gc.collect()
    assert network() is None


def test_what_is_traced_for_one_network_is_bounded():
    network = make().network

    def shift(network, amount, y):
        del network
        return y + amount

    y = normals(3, 5)
    for amount in range(70):
        result = _eager.run_compiled(network, shift, (float(amount),), (y,), (1,))
        np.testing.assert_allclose(result, y + amount)
    assert len(network.__dict__[_eager._ATTRIBUTE]) <= _eager._MAX_FUNCTIONS


def test_threads_share_one_network():
    flow = FLOWS["affine"]((3,))
    y = FLOWS["affine"].events(3)
    expected = FLOWS["affine"]((3,)).inverse_and_log_det(y)[0].numpy()
    failures = []

    def run():
        try:
            for _ in range(10):
                np.testing.assert_allclose(flow.inverse_and_log_det(y)[0], expected, atol=1e-9)
                np.testing.assert_allclose(flow.forward_and_log_det(tf.constant(expected))[0], y, atol=1e-9)
        except Exception as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def test_a_stateless_scope_is_read():
    flow = make()
    y = normals(3, 5)
    z = flow.forward_and_log_det(y)[0]
    weights = flow.network.weights
    with keras.StatelessScope(state_mapping=[(weight, tf.zeros_like(weight)) for weight in weights]):
        inside = flow.forward_and_log_det(y)[0]
    np.testing.assert_allclose(inside, y, atol=1e-12)
    assert np.abs(z - y).max() > 1e-3
    np.testing.assert_array_equal(flow.forward_and_log_det(y)[0], z)


def test_every_direction_reads_a_stateless_scope_and_remembers_nothing_of_it():
    flow, y = make(), normals(3, 5)
    chain = tfp.bijectors.Chain([tfp.bijectors.Shift(tf.zeros([5], tf.float64)), flow])
    weights = flow.network.weights
    zeros = [(weight, tf.zeros_like(weight)) for weight in weights]
    for bijector in (flow, chain):
        z, back = bijector.forward(y), bijector.inverse(y)
        for _ in range(2):
            with keras.StatelessScope(state_mapping=zeros):
                np.testing.assert_allclose(bijector.forward(y), y, atol=1e-12)
                np.testing.assert_allclose(bijector.inverse(y), y, atol=1e-12)
            np.testing.assert_array_equal(bijector.forward(y), z)
            np.testing.assert_array_equal(bijector.inverse(y), back)
        assert np.abs(z - y).max() > 1e-3 < np.abs(back - y).max()


def test_stateless_calls_of_a_posterior_score_with_the_given_weights():
    posterior = IAF(4, hidden_units=(12,), seed=0)
    features, z = normals(3, 8), normals(3, 4)
    posterior(features)
    moved = [weight + 0.3 for weight in posterior.trainable_variables]
    others = [tf.convert_to_tensor(variable) for variable in posterior.non_trainable_variables]
    log_q, _ = posterior.stateless_call(moved, others, features, value=z)
    for weight, value in zip(posterior.trainable_variables, moved):
        weight.assign(value)
    np.testing.assert_allclose(posterior(features, value=z), log_q, rtol=1e-5)


def test_calls_of_a_traced_kind_do_not_wait_while_another_is_traced():
    """A gate that the tracing thread waits at shows whether another owner's call runs meanwhile."""
    entered, gate = threading.Event(), threading.Event()

    class Waiting(OwnNetwork):
        def call(self, y, context=None):
            entered.set()
            assert gate.wait(60.0)
            return super().call(y, context=context)

    other, y = make(None), normals(3, 5)
    other.forward_and_log_det(y)
    network = Waiting(5, None, dtype="float64")
    network.build()
    thread = threading.Thread(target=lambda: InverseAutoregressiveFlow(network).forward_and_log_det(y))
    thread.start()
    assert entered.wait(60.0)
    done = threading.Thread(target=lambda: other.forward_and_log_det(y))
    done.start()
    done.join(30.0)
    is_done = not done.is_alive()
    gate.set()
    thread.join()
    assert is_done


def test_threads_draw_different_noise():
    posterior = IAF(2, num_flows=1, hidden_units=(4,), seed=0)
    features = tf.ones([1, 3])
    posterior(features)
    barrier, draws = threading.Barrier(8), []

    def run():
        barrier.wait()
        for _ in range(60):
            draws.append((posterior(features)[0].numpy().tobytes(), posterior.next_seed().numpy().tobytes()))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for values in zip(*draws):
        assert len(set(values)) == 480


class WithDropout(Network):
    """A user's network that behaves differently in training."""

    def __init__(self, event_shape, **kwargs):
        super().__init__(params=1, event_shape=event_shape, **kwargs)
        self.degrees = np.arange(1, self.event_shape[0] + 1)
        self.dropout = keras.layers.Dropout(0.5, seed=1)

    def build(self, input_shape=None):
        self.bias = self.add_weight(name="bias", shape=self.event_shape, initializer="ones")

    def call(self, y, context=None):
        return self.dropout(self.bias + tf.zeros_like(y))[..., tf.newaxis]


class Shifting(keras.layers.Layer):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def call(self, y, training=None):
        return InverseAutoregressiveFlow(self.network, bijector_fn="location").forward_and_log_det(y)[0]


@pytest.mark.parametrize("first", [True, False])
def test_training_and_inference_are_told_apart(first):
    layer, y = Shifting(WithDropout(50)), tf.zeros([2, 50])
    for training in (first, not first, first):
        values = np.unique(-layer(y, training=training))
        np.testing.assert_array_equal(values, [0.0, 2.0] if training else [1.0])


def test_data_dependent_initialization_reaches_the_layers_of_an_iaf():
    """It looks at values on their way, through the flows of a VAE with `weight_norm=True`."""
    encoder = keras.Sequential([keras.layers.Dense(8, "elu")])
    decoder = keras.Sequential([keras.layers.Dense(6)])
    posterior = IAF(4, num_flows=2, hidden_units=(12,), weight_norm=True)
    model = VAE(encoder, posterior, decoder)
    x = (np.random.default_rng(0).random([100, 6]) < 0.5).astype("float32")
    model(x)  # Traced before: the compiled functions are there.
    layers = initialize_weight_normalization(model, x)
    assert len(layers) == 4
    first = posterior.networks[0].hidden_layers[0]
    assert any(layer is first for layer in layers)
    z, _ = posterior(encoder(x))
    assert np.isfinite(z).all()


def test_a_strategy_runs_as_it_would():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    flow = FLOWS["affine"]((3,))
    y = FLOWS["affine"].events(3)
    with strategy.scope():
        inside = flow.forward_and_log_det(y)[0]
    assert _eager._ATTRIBUTE not in vars(flow.network), "nothing was traced"
    np.testing.assert_allclose(inside, flow.forward_and_log_det(y)[0], atol=1e-12)
    assert _eager._ATTRIBUTE in vars(flow.network), "the test can see what is traced"


def test_a_float32_network_gives_float32():
    flow = InverseAutoregressiveFlow(AutoregressiveNetwork(2, 5, (8,)))
    for y in (np.zeros([2, 5], "float32"), np.zeros([2, 5])):
        assert flow.forward_and_log_det(y)[0].dtype == tf.float32


def test_no_graph_without_masks_is_kept():
    """An export leaves the masks out of its graphs; later weights need them again."""
    network = AutoregressiveNetwork(2, 4, (6,), dtype="float64")
    flow, y = flow_on(network), normals(3, 4)
    with folded_masks(network):
        flow.forward(y)
    for weight in network.weights:
        weight.assign(np.ones(weight.shape))
    jacobian = properties.jacobian(lambda y: flow.forward(y), y[0])
    np.testing.assert_array_equal(np.triu(jacobian, 1), 0.0)
    np.testing.assert_allclose(flow.inverse(flow.forward(tf.identity(y))), y, atol=1e-9)
    with _eager.uncompiled():
        expected = flow.forward(tf.identity(y))
    np.testing.assert_allclose(flow.forward(tf.identity(y)), expected, atol=1e-12)
