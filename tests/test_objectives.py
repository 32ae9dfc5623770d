import numpy as np
import tensorflow as tf

from tfp_iaf import objectives


def test_elbo_weights_the_kl():
    np.testing.assert_allclose(objectives.elbo(tf.constant([-3.0]), tf.constant([2.0]), 0.5), [-4.0])


def test_importance_weighted_bound_of_one_sample_is_the_elbo():
    reconstruction, kl = np.random.default_rng(0).normal(size=[2, 1, 7])
    elbo = objectives.elbo(reconstruction, kl)
    np.testing.assert_allclose(objectives.importance_weighted_bound(elbo), elbo[0], atol=1e-12)


def test_importance_weighted_bound_is_the_log_of_the_mean_weight():
    log_weights = np.random.default_rng(0).normal(size=[5, 7])
    expected = np.log(np.mean(np.exp(log_weights), axis=0))
    np.testing.assert_allclose(objectives.importance_weighted_bound(log_weights), expected, atol=1e-12)
    assert (objectives.importance_weighted_bound(log_weights - 2000.0) > -2010.0).numpy().all()
