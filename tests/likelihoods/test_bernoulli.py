import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf.likelihoods import Bernoulli


def test_stable_at_extreme_logits():
    distribution = Bernoulli().distribution(tf.constant([[-200.0, 200.0]]))
    np.testing.assert_allclose(distribution.log_prob([[0.0, 1.0]]), [0.0])
    np.testing.assert_allclose(distribution.log_prob([[1.0, 1.0]]), [-200.0])


def test_sums_to_one():
    distribution = Bernoulli().distribution(tf.constant(np.random.default_rng(0).normal(size=[1, 3])))
    outcomes = [[float(bit) for bit in f"{i:03b}"] for i in range(8)]
    total = sum(np.exp(distribution.log_prob(tf.constant([outcome], tf.float64)))[0] for outcome in outcomes)
    assert total == pytest.approx(1.0)


def test_booleans_are_data():
    Bernoulli().check(np.array([[True, False]]))
