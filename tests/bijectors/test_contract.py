"""Wherever a TFP bijector works, ours do. CONTRACT.md lists these tests as a table."""

import copy
import gc
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties
from tests.bijectors.constructors import BIJECTORS, CONTEXT_SIZE, EVENT_SIZE, FLOWS
from tfp_iaf.bijectors import InverseAutoregressiveFlow, LinearCholeskyIAF
from tfp_iaf.networks import AutoregressiveNetwork

tfb = tfp.bijectors
tfd = tfp.distributions

KINDS = ["affine", "gated", "location", "spline", "callable", "linear Cholesky", "reverse"]
every_kind = pytest.mark.parametrize("make", [BIJECTORS[name] for name in KINDS], ids=KINDS)
every_flow = pytest.mark.parametrize("make", FLOWS.values(), ids=FLOWS)


def events(*shape, seed=3):
    return tf.constant(np.random.default_rng(seed).normal(size=[*shape, EVENT_SIZE]))


def base(*batch_shape):
    return tfd.MultivariateNormalDiag(tf.zeros([*batch_shape, EVENT_SIZE], tf.float64))


def both(bijector, y):
    """(z, log_det) of an event of rank 1, through TFP's methods."""
    return bijector.forward(y), bijector.forward_log_det_jacobian(properties.fresh(y), event_ndims=1)


def check_equal(ours, expected, atol=1e-9):
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), ours, expected)


# In TFP's compositions


@every_kind
def test_chain(make):
    first, second = make((3,)), make((3,), seed=1)
    _, log_det = first.forward_and_log_det(events(3))
    chain = tfb.Chain([second, tfb.Scale(tf.constant(2.0, tf.float64)), first])
    expected_z, expected_log_det = second.forward_and_log_det(2.0 * first.forward(events(3)))
    check_equal(both(chain, events(3)), (expected_z, log_det + expected_log_det + EVENT_SIZE * np.log(2.0)))
    properties.check_round_trip(chain, events(3), atol=1e-8)


@every_kind
def test_invert(make):
    bijector = make((3,))
    y, log_det = bijector.inverse_and_log_det(events(3))
    check_equal(both(tfb.Invert(bijector), events(3)), (y, -log_det))


@every_kind
def test_blockwise(make):
    bijector = make()
    blockwise = tfb.Blockwise([bijector, tfb.Exp()], block_sizes=[EVENT_SIZE, 2])
    y = tf.constant(np.random.default_rng(0).normal(size=[4, EVENT_SIZE + 2]))
    z, log_det = both(blockwise, y)
    ours, our_log_det = bijector.forward_and_log_det(y[:, :EVENT_SIZE])
    check_equal(
        (z, log_det), (tf.concat([ours, tf.exp(y[:, EVENT_SIZE:])], -1), our_log_det + tf.reduce_sum(y[:, EVENT_SIZE:], -1))
    )
    check_equal(blockwise.inverse(properties.fresh(z)), y)


@every_kind
def test_reshape(make):
    bijector = make()
    chain = tfb.Chain([tfb.Reshape([EVENT_SIZE, 1], event_shape_in=[EVENT_SIZE]), bijector])
    z = chain.forward(events(4))
    check_equal(z[..., 0], bijector.forward(events(4)))
    distribution = tfd.TransformedDistribution(base(4), chain)
    assert distribution.event_shape == [EVENT_SIZE, 1]
    expected = tfd.TransformedDistribution(base(4), bijector).log_prob(z[..., 0])
    check_equal(distribution.log_prob(properties.fresh(z)), expected)


@every_kind
def test_joint_map(make):
    bijector = make()
    joint = tfb.JointMap({"a": bijector, "b": tfb.Exp()})
    values = {"a": events(4), "b": events(4, seed=4)}
    z = joint.forward(values)
    check_equal(z["a"], bijector.forward(events(4)))
    check_equal(joint.inverse(tf.nest.map_structure(properties.fresh, z)), values)


# In TFP's distributions


@pytest.mark.parametrize("name", ["affine", "linear Cholesky", "reverse"])
def test_joint_distributions_and_pinning(name):
    """Sequential, named, coroutine and auto-batched; the flow's log-density is a term of the joint one, pinned or not."""

    bijector = BIJECTORS[name]()

    def q():
        return tfd.TransformedDistribution(base(), bijector)

    def likelihood(z):
        return tfd.Independent(tfd.Normal(z, tf.ones([], tf.float64)), 1)

    @tfd.JointDistributionCoroutine
    def coroutine():
        z = yield tfd.JointDistributionCoroutine.Root(q())
        yield likelihood(z)

    def auto_batched():
        z = yield q()
        yield likelihood(z)

    joints = [
        tfd.JointDistributionSequential([q(), likelihood]),
        tfd.JointDistributionNamed({"z": q(), "x": likelihood}),
        coroutine,
        tfd.JointDistributionCoroutineAutoBatched(auto_batched),
        tfd.JointDistributionSequentialAutoBatched([q(), likelihood]),
        tfd.JointDistributionNamedAutoBatched({"z": q(), "x": likelihood}),
    ]
    z, x = events(), events(seed=5)
    expected = q().log_prob(z) + likelihood(z).log_prob(x)
    for joint in joints:
        named = isinstance(joint, tfd.JointDistributionNamed | tfd.JointDistributionNamedAutoBatched)
        value = {"z": z, "x": x} if named else (z, x)
        check_equal(joint.log_prob(value), expected)
        draws, log_prob = joint.experimental_sample_and_log_prob(4, seed=1)
        check_equal(joint.log_prob(tf.nest.map_structure(properties.fresh, draws)), log_prob)
        pinned = joint.experimental_pin(x=x) if named else joint.experimental_pin(None, x)
        check_equal(pinned.unnormalized_log_prob(z=z) if named else pinned.unnormalized_log_prob(z), expected)


@every_kind
@pytest.mark.parametrize("batch_shape", [(), (3,), (2, 3), (0,), (2, 0)], ids=str)
def test_batch_shapes(make, batch_shape):
    bijector = make(batch_shape)
    y = events(*batch_shape)
    z, log_det = both(bijector, y)
    assert z.shape == y.shape
    assert log_det.shape == batch_shape
    check_equal(bijector.inverse(properties.fresh(z)), y)
    inverse_log_det = bijector.inverse_log_det_jacobian(properties.fresh(z), event_ndims=1)
    check_equal(tf.broadcast_to(inverse_log_det, batch_shape), -tf.broadcast_to(log_det, batch_shape))
    assert tfd.TransformedDistribution(base(*batch_shape), bijector).log_prob(properties.fresh(z)).shape == batch_shape


@every_kind
def test_parameter_properties(make):
    bijector = make((2, 3))
    properties_ = type(bijector).parameter_properties()
    for name, of_parameter in properties_.items():
        if bijector.parameters[name] is not None:
            assert bijector.parameters[name].shape[: -of_parameter.event_ndims] == (2, 3)
    batch_shape = (2, 3) if properties_ else ()
    assert bijector.experimental_batch_shape() == batch_shape
    assert tuple(bijector.experimental_batch_shape_tensor()) == batch_shape


# In every mode of execution


@every_flow
def test_vectorized_map(make):
    flow = make()
    rows = events(4)
    for function in (flow.forward_and_log_det, flow.inverse_and_log_det):
        check_equal(tf.vectorized_map(lambda y, function=function: function(y), rows), function(rows))


def test_vectorized_map_over_contexts():
    flow = FLOWS["affine"]()
    contexts = tf.constant(np.random.default_rng(0).normal(size=[4, CONTEXT_SIZE]))
    z = events(4)

    def inverse(pair):
        return flow.copy(context=pair[0]).inverse_and_log_det(pair[1])

    check_equal(tf.vectorized_map(inverse, (contexts, z)), flow.copy(context=contexts).inverse_and_log_det(z))


@every_kind
@pytest.mark.parametrize("shape", [[4, EVENT_SIZE], [None, EVENT_SIZE], [None, None], None], ids=str)
def test_static_partly_and_fully_unknown_shapes(make, shape):
    bijector = make()

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float64)])
    def round_trip(y):
        z, log_det = both_in_graph(bijector, y)
        return z, log_det, bijector.inverse(tf.identity(z))

    y = events(4)
    z, log_det = both(bijector, y)
    ours = round_trip(y)
    check_equal((ours[0], tf.broadcast_to(ours[1], [4]), ours[2]), (z, tf.broadcast_to(log_det, [4]), y))


def both_in_graph(bijector, y):
    return bijector.forward(y), bijector.forward_log_det_jacobian(y, event_ndims=1)


# In TFP's algorithms


@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_surrogate_posterior(jit_compile):
    """A full-covariance Gaussian target; q of a learned base, a linear and an autoregressive step."""
    scale = np.array([[1.0, 0.0], [0.9, 0.5]], np.float32)
    target = tfd.MultivariateNormalTriL([1.0, -1.0], scale)
    network = AutoregressiveNetwork(2, 2, (8,), activation="tanh")
    location, off_diagonal = tf.Variable([0.0, 0.0]), tf.Variable([0.0])
    log_scale = tf.Variable([0.0, 0.0])
    base = tfd.MultivariateNormalDiag(location, tfp.util.DeferredTensor(log_scale, tf.exp))
    chain = tfb.Chain([InverseAutoregressiveFlow(network), LinearCholeskyIAF(off_diagonal)])
    surrogate = tfd.TransformedDistribution(base, chain)
    assert len(surrogate.trainable_variables) == 3 + len(network.trainable_variables)
    before = [variable.numpy() for variable in surrogate.trainable_variables]
    losses = tfp.vi.fit_surrogate_posterior(
        target.log_prob,
        surrogate,
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 500)),
        num_steps=500,
        sample_size=16,
        seed=[0, 1],
        jit_compile=jit_compile,
    )
    moved = [np.abs(variable.numpy() - start).max() for variable, start in zip(surrogate.trainable_variables, before)]
    # All but the parameters of the first entry's hidden units, which nothing precedes.
    assert np.count_nonzero(moved) >= len(moved) - 1
    assert losses[0] > 0.5
    z, log_q = surrogate.experimental_sample_and_log_prob(4096, seed=[2, 3])
    assert np.mean(log_q - target.log_prob(z)) < 0.02


def test_neutra():
    """Hamiltonian Monte Carlo in the flow's noise space (Hoffman et al. 2019) finds the target's moments."""
    network = AutoregressiveNetwork(2, 2, (8,), activation="tanh")
    network.build()
    properties.randomize(network)
    flow = InverseAutoregressiveFlow(network)
    target = tfd.MultivariateNormalTriL([1.0, -1.0], np.array([[1.0, 0.0], [0.9, 0.5]], np.float32))
    kernel = tfp.mcmc.TransformedTransitionKernel(
        tfp.mcmc.HamiltonianMonteCarlo(target.log_prob, step_size=0.3, num_leapfrog_steps=5), flow
    )

    @tf.function
    def run():
        return tfp.mcmc.sample_chain(
            300, tf.zeros([64, 2]), kernel=kernel, num_burnin_steps=100, trace_fn=lambda _, results: results, seed=[0, 1]
        )

    draws, results = run()
    assert 0.6 < np.mean(results.inner_results.is_accepted) <= 1.0
    draws = draws.numpy().reshape([-1, 2])
    np.testing.assert_allclose(draws.mean(0), target.mean(), atol=0.1)
    np.testing.assert_allclose(np.cov(draws.T), target.covariance(), atol=0.15)


# Saved, copied, compared


@every_flow
def test_checkpoint(make, tmp_path):
    flow, other = make((3,)), make((3,), seed=1)
    path = tf.train.Checkpoint(flow=flow).save(str(tmp_path / "checkpoint"))
    restored = tf.train.Checkpoint(flow=other).restore(path)
    restored.assert_existing_objects_matched().assert_consumed()
    moved = other if flow.context is None else other.copy(context=flow.context)
    check_equal(moved.forward(events(3)), flow.forward(events(3)))


@every_kind
def test_saved_model(make, tmp_path):
    class Service(tf.Module):
        def __init__(self, bijector):
            super().__init__()
            self.bijector = bijector

        @tf.function(input_signature=[tf.TensorSpec([None, EVENT_SIZE], tf.float64)])
        def log_prob(self, z):
            return tfd.TransformedDistribution(base(), self.bijector).log_prob(z)

    service = Service(make())
    tf.saved_model.save(service, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    check_equal(loaded.log_prob(events(4)), service.log_prob(events(4)))


@every_kind
def test_copies(make):
    bijector = make((3,))
    z = bijector.forward(events(3))
    for other in (copy.copy(bijector), copy.deepcopy(bijector), bijector.copy(), bijector.copy(name="other")):
        check_equal(other.forward(properties.fresh(events(3))), z)
    assert bijector.copy(name="other").name == "other"


@every_flow
def test_a_deep_copy_has_weights_of_its_own(make):
    flow = make((3,))
    twin = copy.deepcopy(flow)
    z = twin.forward(events(3))
    properties.randomize(flow.network, seed=9)
    check_equal(twin.forward(properties.fresh(events(3))), z)
    assert not {id(v) for v in flow.variables} & {id(v) for v in twin.variables}


@every_flow
def test_instances_are_unequal_and_share_no_cache_entries(make):
    flow = make((3,))
    twin = InverseAutoregressiveFlow(
        flow.network, flow.context, **{name: flow.parameters[name] for name in ("bijector_fn", "inverse")}
    )
    assert flow == flow
    assert flow != twin
    y = events(3)
    z = flow.forward(y)
    assert twin.forward(y) is not z


@every_flow
@pytest.mark.parametrize(
    "wrap", [lambda flow: flow, lambda flow: tfb.Chain([flow]), tfb.Invert], ids=["flow", "Chain", "Invert"]
)
def test_values_after_a_weight_update_are_fresh(make, wrap):
    """Although all tensors stay alive, which TFP's cache would answer for."""
    flow = make((3,))
    bijector = wrap(flow)
    x = events(3)
    kept = [bijector.forward(x), *both(bijector, x), bijector.inverse(x), bijector.inverse_log_det_jacobian(x, event_ndims=1)]
    properties.randomize(flow.network, seed=9)
    new = [bijector.forward(x), bijector.forward_log_det_jacobian(x, event_ndims=1)]
    new += [bijector.inverse(x), bijector.inverse_log_det_jacobian(x, event_ndims=1)]
    again = [*both(bijector, properties.fresh(x)), bijector.inverse(properties.fresh(x))]
    check_equal(new[:3], again)
    check_equal(new[3], bijector.inverse_log_det_jacobian(properties.fresh(x), event_ndims=1))
    assert np.abs(new[0] - kept[0]).max() > 1e-3


def test_a_context_in_a_variable_is_read_with_each_call():
    network = FLOWS["affine"]().network
    for variable in (tf.Variable, keras.Variable):
        context = variable(np.ones([3, CONTEXT_SIZE]), dtype="float64")
        flow = InverseAutoregressiveFlow(network, context=context)
        assert len(flow.trainable_variables) == 1 + len(network.trainable_variables)
        log_prob = tf.function(tfd.TransformedDistribution(base(3), flow).log_prob)
        for value in (1.0, 2.0):
            context.assign(value * np.ones([3, CONTEXT_SIZE]))
            fixed = InverseAutoregressiveFlow(network, context=value * np.ones([3, CONTEXT_SIZE]))
            expected = tfd.TransformedDistribution(base(3), fixed).log_prob(events(3))
            check_equal(log_prob(events(3)), expected)
            check_equal(flow.forward(properties.fresh(events(3))), fixed.forward(events(3)))


@pytest.mark.parametrize(
    ("policy", "dtype", "tolerance"),
    [
        ("float32", tf.float32, 1e-4),
        ("float64", tf.float64, 1e-9),
        ("mixed_bfloat16", tf.float32, 1e-4),
        ("bfloat16", tf.float32, 1e-4),
    ],
)
@pytest.mark.parametrize("bijector_fn", ["affine", "gated", "location", "spline"])
def test_policies(policy, dtype, tolerance, bijector_fn):
    params = {"location": 1, "spline": 8}.get(bijector_fn, 2)
    network = AutoregressiveNetwork(params, EVENT_SIZE, (20, 20), context_size=3, dtype=policy)
    network.build()
    properties.randomize(network)
    flow = InverseAutoregressiveFlow(network, context=tf.ones([4, 3], dtype), bijector_fn=bijector_fn)
    y = tf.cast(events(4), dtype)
    z, log_det = flow.forward_and_log_det(y)
    assert z.dtype == log_det.dtype == flow.dtype == dtype
    back, log_det_at_z = flow.inverse_and_log_det(z)
    # In bfloat16 the solution is that of the rounded network.
    check_equal((back, log_det_at_z), (y, log_det), atol=tolerance if "bfloat16" not in policy else 0.05)


# Memory


def test_nothing_grows_over_traced_and_deleted_flows():
    """Layers and TFP's own distributions; the latter keep their graphs in TFP's cache, so they are cleared as TFP's are."""

    def live_graphs():
        gc.collect()
        return sum(isinstance(thing, tf.Graph) for thing in gc.get_objects())

    def trace():
        flow = FLOWS["affine"]((3,))
        # AutoGraph has nothing to convert here; where it fails (Python 3.13), pytest keeps its warning, and so the graph.
        both = tf.function(lambda z: (flow.forward_and_log_det(z), flow.inverse_and_log_det(z)), autograph=False)
        both.get_concrete_function(events(3))

    trace()
    before = live_graphs()
    for _ in range(5):
        trace()
    assert live_graphs() <= before


def test_the_table_names_tests_that_exist():
    folder = pathlib.Path(__file__).parent
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (folder / "CONTRACT.md").read_text())
    assert len(named) >= 30
    for file, test in named:
        assert f"def {test}(" in (folder / file).read_text()
