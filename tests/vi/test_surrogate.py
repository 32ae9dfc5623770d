import functools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties
from tfp_iaf import vi
from tfp_iaf.bijectors import InverseAutoregressiveFlow, maps
from tfp_iaf.networks import AutoregressiveNetwork

tfb = tfp.bijectors
tfd = tfp.distributions

STANDARD_ERRORS = np.array([15, 10, 16, 11, 9, 11, 10, 18], np.float32)
EFFECTS = np.array([28, 8, -3, 7, -1, 1, 18, 12], np.float32)


@tfd.JointDistributionCoroutineAutoBatched
def eight_schools():
    mean = yield tfd.Normal(0.0, 10.0, name="mean")
    scale = yield tfd.LogNormal(1.0, 1.0, name="scale")
    effects = yield tfd.Sample(tfd.Normal(mean, scale), 8, name="effects")
    yield tfd.Normal(effects, STANDARD_ERRORS, name="observed")


def joints():
    """Name -> (pinned or not, the supports of its parts)."""
    named = tfd.JointDistributionNamed(
        {
            "rate": tfd.Gamma(2.0, 1.0),
            "chances": tfd.Sample(tfd.Beta(2.0, 3.0), [2, 3]),
            "x": lambda rate: tfd.Sample(tfd.Exponential(rate), 4),
        }
    )
    sequential = tfd.JointDistributionSequential([tfd.Normal(0.0, 1.0), lambda loc: tfd.TruncatedNormal(loc, 1.0, -2.0, 2.0)])
    return {
        "coroutine, pinned": eight_schools.experimental_pin(observed=EFFECTS),
        "named, pinned": named.experimental_pin(x=tf.ones([4])),
        "named": named,
        "sequential": sequential,
    }


@pytest.mark.parametrize("name", joints())
def test_samples_have_the_structure_and_the_supports(name):
    joint = joints()[name]
    base = "student_t" if name == "named" else "normal"
    surrogate = vi.build_iaf_surrogate_posterior(joint, num_flows=1, hidden_units=(8,), base=base, seed=0)
    assert surrogate.batch_shape == []
    z, log_q = surrogate.experimental_sample_and_log_prob(20, seed=[0, 1])
    tf.nest.assert_same_structure(z, joint.event_shape, check_types=False)
    shapes = tf.nest.map_structure(lambda part, shape: part.shape == [20, *shape], z, joint.event_shape)
    assert all(tf.nest.flatten(shapes))
    log_prob = joint.unnormalized_log_prob(z) if hasattr(joint, "unnormalized_log_prob") else joint.log_prob(z)
    assert np.isfinite(log_prob).all()
    fresh = tf.nest.map_structure(properties.fresh, z)
    np.testing.assert_allclose(surrogate.log_prob(fresh), log_q, rtol=1e-4, atol=1e-3)


def test_every_weight_is_trainable_and_in_a_checkpoint(tmp_path):
    pinned = eight_schools.experimental_pin(observed=EFFECTS)
    surrogate = vi.build_iaf_surrogate_posterior(pinned, num_flows=1, hidden_units=(8,), base="student_t", seed=0)
    before = [variable.numpy() for variable in surrogate.trainable_variables]
    # Two layers, location and scale, degrees of freedom.
    assert len(before) == 4 + 2 + 1
    path = tf.train.Checkpoint(surrogate=surrogate).save(tmp_path / "checkpoint")
    tfp.vi.fit_surrogate_posterior(
        pinned.unnormalized_log_prob, surrogate, keras.optimizers.Adam(0.01), num_steps=3, sample_size=8, seed=[0, 1]
    )
    moved = [np.abs(variable.numpy() - start).max() for variable, start in zip(surrogate.trainable_variables, before)]
    # All but the parameters of hidden units that nothing reaches.
    assert np.count_nonzero(moved) >= len(moved) - 1
    tf.train.Checkpoint(surrogate=surrogate).restore(path).assert_consumed()
    for variable, start in zip(surrogate.trainable_variables, before):
        np.testing.assert_array_equal(variable.numpy(), start)


def test_an_amortized_surrogate_reads_features(tmp_path):
    pinned = eight_schools.experimental_pin(observed=EFFECTS)
    surrogate = vi.build_iaf_surrogate_posterior(pinned, num_flows=1, hidden_units=(8,), feature_size=4, seed=0)
    features = tf.constant(np.random.default_rng(0).normal(size=[7, 4]), tf.float32)
    q = surrogate(features)
    assert q.batch_shape == [7]
    z, log_q = q.experimental_sample_and_log_prob(3, seed=[0, 1])
    assert (z.effects.shape, log_q.shape) == ([3, 7, 8], [3, 7])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(surrogate(features).experimental_sample_and_log_prob(seed=[0, 1])[1])
    gradients = tape.gradient(loss, surrogate.trainable_variables)
    assert gradients and all(gradient is not None for gradient in gradients)
    assert len(surrogate.variables) == len(surrogate.trainable_variables) == len(surrogate.posterior.weights)
    checkpoint = tf.train.Checkpoint(surrogate=surrogate)
    path = checkpoint.save(tmp_path / "checkpoint")
    properties.randomize(surrogate.posterior)
    checkpoint.restore(path)
    np.testing.assert_allclose(surrogate(features).sample(3, seed=[0, 1]).mean, z.mean, atol=1e-6)


@tfd.JointDistributionCoroutine
def coroutine():
    mean = yield tfd.JointDistributionCoroutine.Root(tfd.Normal(0.0, 1.0, name="mean"))
    yield tfd.Normal(mean[..., tf.newaxis], [1.0, 2.0], name="observed")


@pytest.mark.parametrize("feature_size", [None, 2])
def test_a_checkpoint_of_another_surrogate_is_refused(feature_size, tmp_path):
    """Also where all sizes are equal."""

    def joint_of(scale):
        return tfd.JointDistributionNamed({"scale": scale, "x": tfd.Normal(0.0, 1.0)})

    def make(joint, **kwargs):
        settings = {"num_flows": 1, "hidden_units": (8,), "feature_size": feature_size, **kwargs}
        return tf.train.Checkpoint(surrogate=vi.build_iaf_surrogate_posterior(joint, **settings))

    joint = joint_of(tfd.HalfNormal(1.0))
    path = make(joint).write(tmp_path / "checkpoint")
    make(joint, hidden_units=np.array([8])).read(path).assert_consumed()
    # Arguments that have no name of their own.
    make(joint, hidden_units=(), activation=functools.partial(keras.activations.leaky_relu, negative_slope=0.3))
    make(joint, bijector_fn=(lambda y, p: (y + p[..., 0], tf.zeros_like(y)), 1))
    for kwargs, name in (
        ({"activation": "relu"}, "activation 'elu' where this one has 'relu'"),
        ({"bijector_fn": "gated"}, "bijector_fn 'affine' where this one has 'gated'"),
        ({"bijector_fn": maps.Affine(log_scale_bound=1.0)}, "bijector_fn"),
        ({"input_order": "right-to-left"}, "degrees"),
        ({"hidden_units": (4,)}, "hidden_units"),
    ):
        with pytest.raises(ValueError, match=f"checkpoint is of another surrogate, with {name}"):
            make(joint, **kwargs).read(path)
    with pytest.raises(ValueError, match="with unknowns"):
        make(joint_of(tfd.Normal(0.0, 1.0))).read(path)


def test_a_simplex_by_a_bijector_of_its_own():
    """What the error of TFP's own advises where it fails with this NumPy."""

    class Dirichlet(tfd.Dirichlet):
        def _default_event_space_bijector(self):
            return tfp.bijectors.IteratedSigmoidCentered()

    joint = tfd.JointDistributionNamed({"w": Dirichlet(tf.ones([3])), "x": lambda w: tfd.Multinomial(10.0, probs=w)})
    surrogate = vi.build_iaf_surrogate_posterior(joint.experimental_pin(x=[2.0, 3.0, 5.0]), num_flows=1, hidden_units=(8,))
    np.testing.assert_allclose(tf.reduce_sum(surrogate.sample(4, seed=[0, 1])["w"], axis=-1), np.ones(4), rtol=1e-5)


class NoBijector(tfd.Normal):
    def experimental_default_event_space_bijector(self, *args, **kwargs):
        raise NotImplementedError


class FailingBijector(tfp.bijectors.Softplus):
    def forward(self, *args, **kwargs):
        raise ValueError("no forward here")


class Failing(tfd.Normal):
    def experimental_default_event_space_bijector(self, *args, **kwargs):
        return FailingBijector()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: vi.build_iaf_surrogate_posterior(3), "must be a tfd.JointDistribution, pinned or not, got 3"),
        (lambda: vi.build_iaf_surrogate_posterior(eight_schools, base="cauchy"), "base must be one of .*, got 'cauchy'"),
        (lambda: vi.build_iaf_surrogate_posterior(eight_schools, base="student_t", feature_size=2), "has a normal base"),
        (
            lambda: vi.build_iaf_surrogate_posterior(
                tfd.JointDistributionSequential([tfd.Normal(0.0, 1.0), lambda z: tfd.Poisson(tf.exp(z)), tfd.Bernoulli(0.0)])
            ),
            "one floating-point dtype",
        ),
        (
            lambda: vi.build_iaf_surrogate_posterior(
                tfd.JointDistributionNamed({"k": tfd.Poisson(3.0), "x": lambda k: tfd.Normal(k, 1.0)}).experimental_pin(x=2.0)
            ),
            r"but k \(Poisson\) has none \(discrete distributions and mixtures do not\): pin it",
        ),
        (
            lambda: vi.build_iaf_surrogate_posterior(
                tfd.JointDistributionNamed({"a": NoBijector(0.0, 1.0), "b": tfd.Normal(0.0, 1.0)})
            ),
            r"but a \(NoBijector\) has none",
        ),
        (
            lambda: vi.build_iaf_surrogate_posterior(
                tfd.JointDistributionSequential([NoBijector(0.0, 1.0), lambda z: tfd.Normal(z, 1.0)]).experimental_pin(
                    None, 1.0
                )
            ),
            r"but z \(NoBijector\) has none",
        ),
        (
            lambda: vi.build_iaf_surrogate_posterior(
                tfd.JointDistributionNamed({"a": Failing(0.0, 1.0), "b": tfd.Normal(0.0, 1.0)})
            ),
            r"bijector from unconstrained numbers to a \(Failing, float32\) fails: no forward here",
        ),
        (
            lambda: vi.build_iaf_surrogate_posterior(
                tfd.JointDistributionNamed({"a": tfd.Normal(0.0, 1.0)}).experimental_pin(a=1.0)
            ),
            "All parts of the joint distribution are pinned",
        ),
        (
            lambda: vi.build_iaf_surrogate_posterior(tfd.JointDistributionSequential([tfd.Normal(tf.zeros([3]), 1.0)])),
            "wrap vectors of independent parts in tfd.Sample",
        ),
        (
            lambda: vi.build_iaf_surrogate_posterior(coroutine.experimental_pin(observed=[1.0, 2.0])),
            r"The pinned part observed has batch shape \(2,\): wrap it in tfd.Independent",
        ),
        (
            lambda: vi.build_iaf_surrogate_posterior(
                tfd.JointDistributionNamed(
                    {"mean": tfd.Normal(0.0, 1.0), "x": lambda mean: tfd.Normal(mean, 1.0)}
                ).experimental_pin(x=tf.ones([100]))
            ),
            r"The part x is pinned to a value of shape \(100,\), and one draw of it has shape \(\): write independent data as",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(build, message):
    with pytest.raises(ValueError, match=message) as error:
        build()
    assert "\n" not in str(error.value)


def test_variables_of_the_joint_distribution_stay_as_they_are(tmp_path):
    """Those of its supports, and of a flow that is the prior of a part."""
    high = tf.Variable(2.0, name="high")
    network = AutoregressiveNetwork(2, event_shape=2, hidden_units=(4,))
    prior = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros([2])), InverseAutoregressiveFlow(network))
    joint = tfd.JointDistributionNamedAutoBatched(
        {"u": tfd.Uniform(0.0, high), "z": prior, "y": lambda u, z: tfd.Normal(u + z[..., 0], 1.0)}
    )
    pinned = joint.experimental_pin(y=1.0)
    surrogate = vi.build_iaf_surrogate_posterior(pinned, num_flows=1, hidden_units=(8,))
    theirs = [high, *network.tf_variables]
    assert not {id(variable) for variable in theirs} & {id(variable) for variable in surrogate.variables}
    before = [variable.numpy() for variable in theirs]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(vi.fit(pinned, surrogate, num_steps=20, sample_size=8, learning_rates=[1e-2]).elbo)
    for variable, value in zip(theirs, before):
        np.testing.assert_array_equal(variable, value)
    high.assign(20.0)
    assert surrogate.sample(100, seed=1)["u"].numpy().max() > 2.0
    path = tf.train.Checkpoint(surrogate=surrogate).write(tmp_path / "checkpoint")
    assert not any("high" in name for name, _ in tf.train.list_variables(path))


def test_a_surrogate_of_ones_own_with_several_outputs():
    """Its last bijector is trained, and gives a structure."""
    chain = tfb.Chain(
        [
            tfb.JointMap({"a": tfb.Shift(tf.Variable(0.0)), "b": tfb.Shift(tf.Variable([0.0]))}),
            tfb.JointMap({"a": tfb.Reshape([], [1]), "b": tfb.Identity()}),
            tfb.Restructure({"a": 0, "b": 1}),
            tfb.Split([1, 1]),
            InverseAutoregressiveFlow(AutoregressiveNetwork(2, event_shape=2, hidden_units=(4,))),
        ]
    )
    q = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros([2])), chain)

    def target(z):
        return -0.5 * ((z["a"] - 1.0) ** 2 + tf.reduce_sum((z["b"] + 1.0) ** 2, axis=-1))

    vi.fit(target, q, num_steps=300, sample_size=32, learning_rates=[3e-2])
    draws = q.sample(2000, seed=1)
    np.testing.assert_allclose([np.mean(draws["a"]), np.mean(draws["b"])], [1.0, -1.0], atol=0.1)


def test_a_joint_distribution_within_a_joint_distribution():
    inner = tfd.JointDistributionNamed({"a": tfd.Normal(0.0, 1.0), "b": tfd.Gamma(2.0, 1.0)})
    joint = tfd.JointDistributionNamed({"inner": inner, "y": lambda inner: tfd.Normal(inner["a"], inner["b"])})
    surrogate = vi.build_iaf_surrogate_posterior(joint.experimental_pin(y=1.0), num_flows=1, hidden_units=(4,))
    assert surrogate.sample(3)["inner"]["b"].numpy().min() > 0.0
    auto_batched = tfd.JointDistributionNamedAutoBatched(
        {
            "inner": tfd.JointDistributionNamedAutoBatched({"a": tfd.Normal(0.0, 1.0), "b": tfd.Gamma(2.0, 1.0)}),
            "t": lambda inner: tfd.Normal(inner["a"], inner["b"]),
        }
    )
    pinned = auto_batched.experimental_pin(inner={"a": 1.0, "b": 2.0})
    surrogate = vi.build_iaf_surrogate_posterior(pinned, num_flows=1, hidden_units=(4,))
    assert surrogate.sample(3)["t"].shape == (3,)
