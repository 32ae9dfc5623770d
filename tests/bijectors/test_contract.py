"""Wherever a TFP bijector works, ours do. CONTRACT.md lists these tests as a table."""

import copy
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import cases, properties
from tests.bijectors.constructors import BIJECTORS, CONTEXT_SIZE, DISTINCT, FLOWS
from tfp_iaf.bijectors import InverseAutoregressiveFlow, LinearCholeskyIAF, maps
from tfp_iaf.networks import AutoregressiveNetwork

tfb = tfp.bijectors
tfd = tfp.distributions

# How TFP composes and TensorFlow traces an object does not depend on its map or order.
every_kind = pytest.mark.parametrize("make", DISTINCT.values(), ids=DISTINCT)
DISTINCT_FLOWS = {name: make for name, make in FLOWS.items() if not make.is_variant}
every_kind_of_flow = pytest.mark.parametrize("make", DISTINCT_FLOWS.values(), ids=DISTINCT_FLOWS)


def check_equal(ours, expected, atol=1e-9):
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), ours, expected)


def both(bijector, y, event_ndims):
    """(z, log_det), through TFP's methods."""
    return bijector.forward(y), bijector.forward_log_det_jacobian(tf.identity(y), event_ndims=event_ndims)


# In TFP's compositions


@every_kind
def test_compositions(make):
    """Chain, Invert, Blockwise, Reshape, JointMap."""
    bijector, y, ndims = make(), make.events(4), make.event_ndims
    z, log_det = bijector.forward_and_log_det(y)
    back, log_det_at_back = bijector.inverse_and_log_det(y)
    size = np.prod(make.event_shape)

    chain = tfb.Chain([tfb.Scale(tf.constant(2.0, tf.float64)), bijector])
    check_equal(both(chain, y, ndims), (2.0 * z, log_det + size * np.log(2.0)))
    check_equal(chain.inverse(2.0 * z), y)

    check_equal(both(tfb.Invert(bijector), y, ndims), (back, -log_det_at_back))

    flat = tfb.Chain([tfb.Reshape([size], event_shape_in=make.event_shape), bijector])
    check_equal(flat.forward(y), tf.reshape(z, [4, size]))
    distribution = tfd.TransformedDistribution(make.base(4), flat)
    assert distribution.event_shape == [size]
    expected = tfd.TransformedDistribution(make.base(4), bijector).log_prob(z)
    check_equal(distribution.log_prob(tf.reshape(z, [4, size])), expected)

    joint = tfb.JointMap({"a": bijector, "b": tfb.Exp()})
    values = {"a": y, "b": make.events(4, seed=4)}
    check_equal(joint.forward(values)["a"], z)
    check_equal(joint.inverse(joint.forward(values)), values)

    if ndims == 1:
        blockwise = tfb.Blockwise([bijector, tfb.Exp()], block_sizes=[size, 2])
        pair = tf.concat([y, y[:, :2]], axis=-1)
        expected = tf.concat([z, tf.exp(y[:, :2])], axis=-1), log_det + tf.reduce_sum(y[:, :2], axis=-1)
        check_equal(both(blockwise, pair, 1), expected)
        check_equal(blockwise.inverse(expected[0]), pair)


# In TFP's distributions


def test_joint_distributions_and_pinning():
    """Sequential, a coroutine, named and auto-batched; the flow's log-density is a term of the joint one, pinned or not."""

    make = BIJECTORS["affine"]
    bijector = make()

    def q():
        return tfd.TransformedDistribution(make.base(), bijector)

    def likelihood(z):
        return tfd.Independent(tfd.Normal(z, tf.ones([], tf.float64)), 1)

    @tfd.JointDistributionCoroutine
    def coroutine():
        z = yield tfd.JointDistributionCoroutine.Root(q())
        yield likelihood(z)

    joints = [
        tfd.JointDistributionSequential([q(), likelihood]),
        coroutine,
        tfd.JointDistributionNamedAutoBatched({"z": q(), "x": likelihood}),
    ]
    z, x = make.events(), make.events(seed=5)
    expected = q().log_prob(z) + likelihood(z).log_prob(x)
    for joint in joints:
        named = isinstance(joint, tfd.JointDistributionNamedAutoBatched)
        value = {"z": z, "x": x} if named else (z, x)
        check_equal(joint.log_prob(value), expected)
        draws, log_prob = joint.experimental_sample_and_log_prob(4, seed=1)
        check_equal(joint.log_prob(tf.nest.map_structure(properties.fresh, draws)), log_prob)
        pinned = joint.experimental_pin(x=x) if named else joint.experimental_pin(None, x)
        check_equal(pinned.unnormalized_log_prob(z=z) if named else pinned.unnormalized_log_prob(z), expected)


# In every mode of execution


@cases.parametrize("make", DISTINCT, set(DISTINCT) - {"affine", "images", "own flow", "linear Cholesky"})
def test_vectorized_map(make):
    bijector, rows = make(), make.events(4)
    for function in (bijector.forward_and_log_det, bijector.inverse_and_log_det):
        check_equal(tf.vectorized_map(lambda y, function=function: function(y), rows), function(rows))


@cases.parametrize("make", FLOWS, set(FLOWS) - {"affine", "monotone", "images"})
def test_gradients_of_a_vectorized_map(make):
    """It drops custom gradients, such as those of inverses by search."""
    flow, rows = make(), make.events(4)

    def gradients(function):
        with tf.GradientTape() as tape:
            tape.watch(rows)
            z, log_det = function(rows)
            total = tf.reduce_sum(tf.sin(z)) + tf.reduce_sum(log_det)
        return tape.gradient(total, [rows, *flow.trainable_variables], unconnected_gradients="zero")

    check_equal(gradients(lambda rows: tf.vectorized_map(flow.inverse_and_log_det, rows)), gradients(flow.inverse_and_log_det))


@cases.parametrize("make", DISTINCT_FLOWS, set(DISTINCT_FLOWS) - {"affine", "own network"})
def test_vectorized_map_over_contexts(make):
    flow, z = make((4,)), make.events(4)
    if flow.context is None:
        return

    def inverse(pair):
        return flow.copy(context=pair[0]).inverse_and_log_det(pair[1])

    check_equal(tf.vectorized_map(inverse, (flow.context, z)), flow.inverse_and_log_det(z))


@every_kind
def test_fully_unknown_shapes(make):
    """Static and partly unknown ones: `test_base.py`."""
    bijector, y, ndims = make(), make.events(4), make.event_ndims
    z, log_det = bijector.forward_and_log_det(y)

    def round_trip(y):
        z = bijector.forward(y)
        return z, bijector.forward_log_det_jacobian(y, event_ndims=ndims), bijector.inverse(tf.identity(z))

    ours = tf.function(round_trip, input_signature=[tf.TensorSpec(None, tf.float64)], autograph=False)(y)
    check_equal((ours[0], tf.broadcast_to(ours[1], [4]), ours[2]), (z, log_det, y))


# In TFP's algorithms


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.long)])
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


@every_kind_of_flow
def test_checkpoint(make, tmp_path):
    flow, other = make((3,)), make((3,), seed=1)
    path = tf.train.Checkpoint(flow=flow).save(str(tmp_path / "checkpoint"))
    restored = tf.train.Checkpoint(flow=other).restore(path)
    restored.assert_existing_objects_matched().assert_consumed()
    moved = other if flow.context is None else other.copy(context=flow.context)
    check_equal(moved.forward(make.events(3)), flow.forward(make.events(3)))


@every_kind
def test_saved_model(make, tmp_path):
    class Service(tf.Module):
        def __init__(self, bijector):
            super().__init__()
            self.bijector = bijector

        @tf.function(input_signature=[tf.TensorSpec([None, *make.event_shape], tf.float64)])
        def log_prob(self, z):
            return tfd.TransformedDistribution(make.base(), self.bijector).log_prob(z)

    service = Service(make())
    tf.saved_model.save(service, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    check_equal(loaded.log_prob(make.events(4)), service.log_prob(make.events(4)))


@every_kind
def test_copies(make):
    bijector = make((3,))
    z = bijector.forward(make.events(3))
    for other in (copy.copy(bijector), copy.deepcopy(bijector), bijector.copy(), bijector.copy(name="other")):
        check_equal(other.forward(make.events(3)), z)
    assert bijector.copy(name="other").name == "other"


@every_kind_of_flow
def test_a_deep_copy_has_weights_of_its_own(make):
    flow = make((3,))
    twin = copy.deepcopy(flow)
    z = twin.forward(make.events(3))
    properties.randomize(flow.network, seed=9)
    check_equal(twin.forward(make.events(3)), z)
    assert not {id(v) for v in flow.variables} & {id(v) for v in twin.variables}


@pytest.mark.parametrize(
    ("policy", "dtype", "tolerance"),
    [("float32", tf.float32, 1e-4), ("mixed_bfloat16", tf.float32, 0.05), ("bfloat16", tf.float32, 0.05)],
)
@pytest.mark.parametrize("bijector_fn", ["affine", "gated", "location", "monotone", "spline"])
def test_policies(policy, dtype, tolerance, bijector_fn):
    """The registry is in float64."""
    network = AutoregressiveNetwork(maps.get(bijector_fn).params, 5, (20, 20), context_size=CONTEXT_SIZE, dtype=policy)
    network.build()
    properties.randomize(network)
    flow = InverseAutoregressiveFlow(network, context=tf.ones([4, CONTEXT_SIZE], dtype), bijector_fn=bijector_fn)
    y = tf.cast(FLOWS["affine"].events(4), dtype)
    z, log_det = flow.forward_and_log_det(y)
    assert z.dtype == log_det.dtype == flow.dtype == dtype
    # In bfloat16 the solution is that of the rounded network.
    check_equal(flow.inverse_and_log_det(z), (y, log_det), atol=tolerance)


def test_the_table_names_tests_that_exist():
    folder = pathlib.Path(__file__).parent
    named = re.findall(r"`(\S+\.py)::(test_\w+)`", (folder / "CONTRACT.md").read_text())
    assert len(named) >= 30
    for file, test in named:
        assert f"def {test}(" in (folder / file).read_text()
