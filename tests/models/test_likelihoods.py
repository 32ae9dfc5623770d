import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf.models import likelihoods


def test_bernoulli_is_stable_at_extreme_logits():
    logits = tf.constant([[-200.0, 200.0]])
    np.testing.assert_allclose(likelihoods.bernoulli(logits).log_prob([[0.0, 1.0]]), [0.0])
    np.testing.assert_allclose(likelihoods.bernoulli(logits).log_prob([[1.0, 1.0]]), [-200.0])


def test_bernoulli_sums_to_one():
    logits = tf.constant(np.random.default_rng(0).normal(size=[1, 3]))
    outcomes = [[float(bit) for bit in f"{i:03b}"] for i in range(8)]
    total = sum(np.exp(likelihoods.bernoulli(logits).log_prob(tf.constant([outcome], tf.float64)))[0] for outcome in outcomes)
    assert total == pytest.approx(1.0)


def test_normal_splits_locations_and_scales():
    distribution = likelihoods.normal(tf.constant([[1.0, 2.0, 0.0, 0.0]]))
    np.testing.assert_allclose(distribution.mean(), [[1.0, 2.0]])
    np.testing.assert_allclose(distribution.stddev(), [[1.0, 1.0]], rtol=1e-4)


@pytest.mark.parametrize("name", ["bernoulli", "normal"])
def test_names_round_trip(name):
    assert likelihoods.serialize(likelihoods.get(name)) == name
