import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import vi

tfd = tfp.distributions


@pytest.mark.parametrize(
    ("target", "surrogate", "k"),
    [
        # q = Exp(b), p = Exp(a) with a < b: k = 1 - a / b.
        (tfd.Exponential(tf.constant(0.5, tf.float64)), tfd.Exponential(tf.constant(1.0, tf.float64)), 0.5),
        (tfd.Exponential(tf.constant(0.2, tf.float64)), tfd.Exponential(tf.constant(1.0, tf.float64)), 0.8),
        # q = N(0, s^2), p = N(0, 1) with s < 1: k = 1 - s^2, which is reached slowly.
        (tfd.Normal(tf.constant(0.0, tf.float64), 1.0), tfd.Normal(tf.constant(0.0, tf.float64), 0.4), 0.84),
    ],
)
def test_pareto_k_of_known_tails(target, surrogate, k):
    results = [vi.diagnose(target.log_prob, surrogate, num_samples=100000, seed=seed) for seed in range(2)]
    assert np.mean([result.pareto_k for result in results]) == pytest.approx(k, abs=0.12)
    assert all((result.pareto_k > result.threshold) == (k > 0.7) for result in results)


def test_pareto_k_recovers_the_shape_of_a_generalized_pareto_distribution():
    for k in (0.2, 0.5, 0.9):
        u = np.random.default_rng(1).random(200000)
        assert vi.pareto_k(np.log(u**-k)) == pytest.approx(k, abs=0.05)
    assert vi.pareto_k(np.zeros(1000)) == -np.inf
    with pytest.raises(ValueError, match="at least 25 weights"):
        vi.pareto_k(np.zeros(20))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the versions of arviz-stats for Python 3.10 have no psislw")
@pytest.mark.parametrize("size", [100, 900, 10000])
def test_pareto_k_is_that_of_arviz(size):
    from arviz_stats.base import array_stats

    # Of sizes whose tail is a whole number: elsewhere ArviZ rounds down, and the R package loo, as we do, up.
    rng = np.random.default_rng(size)
    # Light, heavy and bounded tails, and weights that underflow beside the largest.
    for log_weights in (
        0.3 * rng.exponential(size=size),
        1.2 * rng.exponential(size=size),
        -0.5 * rng.exponential(size=size),
        30.0 * rng.normal(size=size),
        rng.normal(size=size).astype(np.float32),
    ):
        # ArviZ takes the log-likelihoods that leave-one-out weights are the reciprocals of.
        _, expected = array_stats.psislw(-log_weights.astype(np.float64))
        assert vi.pareto_k(log_weights) == pytest.approx(float(expected), abs=1e-6)


def test_effective_sample_size_and_evidence():
    """Of p = 3 N(0, 1) and q = N(0, s^2) with s > 1: the ratio of the weights' moments is known."""
    s = 1.5
    target = tfd.Normal(tf.constant(0.0, tf.float64), 1.0)
    q = tfd.Normal(tf.constant(0.0, tf.float64), s)
    result = vi.diagnose(lambda z: target.log_prob(z) + np.log(3.0), q, num_samples=200000)
    # E[w]^2 / E[w^2] = sqrt(2 s^2 - 1) / s^2.
    assert result.effective_sample_size == pytest.approx(np.sqrt(2.0 * s**2 - 1.0) / s**2, abs=0.01)
    assert result.log_evidence == pytest.approx(np.log(3.0), abs=0.01)
    assert result.elbo == pytest.approx(np.log(3.0) - (np.log(1.0 / s) + 0.5 * s**2 - 0.5), abs=0.02)
    assert result.pareto_k < 0.3
    assert vi.diagnose(target.log_prob, target).effective_sample_size == 1.0


def test_trainable_distributions_of_tfp():
    """They are modules that make their distribution anew at each call, and no distributions."""
    q = tfp.experimental.util.DeferredModule(lambda loc: tfd.Normal(loc, 1.0), tf.Variable(0.0))
    assert vi.diagnose(tfd.Normal(0.0, 1.0).log_prob, q).effective_sample_size == 1.0


def test_bad_arguments():
    with pytest.raises(ValueError, match="at least 100"):
        vi.diagnose(tfd.Normal(0.0, 1.0), tfd.Normal(0.0, 1.0), num_samples=10)
    with pytest.raises(ValueError, match=r"a log-density for each draw, \(100,\) .* got shape \(\)"):
        vi.diagnose(lambda z: tf.reduce_sum(z), tfd.Normal(0.0, 1.0), num_samples=100)
    with pytest.raises(ValueError, match="target must be a joint distribution"):
        vi.diagnose(3, tfd.Normal(0.0, 1.0))
    with pytest.raises(ValueError, match=r"must be one posterior, got batch shape \(3,\)"):
        vi.diagnose(tfd.Normal(0.0, 1.0).log_prob, tfd.Normal(tf.zeros([3]), 1.0))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (lambda z: z - np.inf, "finite maximum, got no weight above 0"),
        (lambda z: tf.where(z > 0.0, np.inf, 0.0), "finite maximum, got an infinite weight"),
        (lambda z: z * np.nan, "got NaN among them"),
    ],
)
def test_targets_without_finite_weights(target, message):
    with pytest.raises(ValueError, match=message):
        vi.diagnose(target, tfd.Normal(0.0, 1.0))


def test_a_target_of_bounded_support():
    """Weights of 0 are weights."""
    uniform = vi.diagnose(lambda z: tf.where(z > 0.0, tfd.Normal(0.0, 1.0).log_prob(z), -np.inf), tfd.Normal(0.0, 1.0))
    assert uniform.effective_sample_size == pytest.approx(0.5, abs=0.02)


def test_pareto_k_of_hopeless_fits_grows_with_their_spread():
    noise = np.random.default_rng(0).normal(size=1000)
    found = [vi.pareto_k(spread * noise) for spread in (10.0, 100.0, 1e3, 1e4, 1e5)]
    assert np.all(np.diff(found) > 0.0)
    assert found[0] > 1.0
    target = tfd.MultivariateNormalDiag(tf.zeros(20))
    for surrogate in (
        tfd.MultivariateNormalDiag(tf.zeros(20), tf.fill([20], 100.0)),
        tfd.MultivariateNormalDiag(tf.fill([20], 200.0)),
    ):
        assert vi.diagnose(target.log_prob, surrogate).pareto_k > 10.0


@pytest.mark.parametrize("size", [100, 1000])
@pytest.mark.parametrize("positive", [1, 5, 10])
def test_pareto_k_where_most_weights_are_zero(size, positive):
    """As where they are tiny: never a fit that can be trusted."""
    weights = np.concatenate([np.full(size - positive, -np.inf), 300.0 * np.linspace(0.0, 1.0, positive)])
    assert vi.pareto_k(weights) > 1.0
    assert (vi.pareto_k(weights) == np.inf) == (positive < 6)
