import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.posteriors.constructors import CASES
from tfp_iaf import vi
from tfp_iaf.posteriors import PlanarFlow

tfd = tfp.distributions
# One of each way to make flows: of inputs, of networks with and without a context, with places, and without flows.
NAMES = ["full covariance", "IAF", "IAF, location, no context", "planar", "NICE, odd", "conv IAF", "diagonal"]


def moved(distribution, seed=0):
    """With variables away from their start."""
    for k, variable in enumerate(distribution.trainable_variables):
        variable.assign_add(0.2 * tf.random.stateless_normal(variable.shape, [k, seed], dtype=variable.dtype))
    return distribution


@pytest.mark.parametrize("name", NAMES)
def test_samples_have_their_density_and_all_variables_are_trained(name):
    case = CASES[name]
    posterior = case.make()
    q = moved(vi.without_features(posterior))
    assert q.event_shape == case.latent_shape and q.batch_shape == ()
    # With the base's two, and the flows' inputs where there are some.
    assert len(q.trainable_variables) == 2 + bool(posterior.flow_size) + len(posterior.trainable_weights)

    def log_q_and_again():
        z, log_q = q.experimental_sample_and_log_prob(5, seed=[0, 1])
        return log_q, q.log_prob(tf.identity(z))

    with tf.GradientTape() as tape:
        log_q, again = log_q_and_again()
    np.testing.assert_allclose(log_q, again, atol=1e-3)
    assert all(gradient is not None for gradient in tape.gradient(again, q.trainable_variables))


def test_frozen_weights_are_not_trained():
    posterior = CASES["IAF"].make()
    posterior.build_flows()
    posterior.networks[0].trainable = False
    q = vi.without_features(posterior)
    frozen, trained = posterior.networks
    assert len(q.trainable_variables) == 3 + len(trained.weights)
    before = [weight.numpy() for weight in frozen.weights]
    target = tfd.MultivariateNormalDiag(tf.fill([4], 2.0))
    vi.fit(target, q, num_steps=20, sample_size=16, learning_rates=[0.1])
    for weight, value in zip(frozen.weights, before):
        np.testing.assert_array_equal(weight, value)
    assert np.abs(trained.weights[-1]).max() > 0.05


def test_a_layer_that_reads_features_elsewhere_lists_its_networks_alone():
    posterior = CASES["IAF"].make()
    posterior(CASES["IAF"].features())
    fresh = vi.without_features(CASES["IAF"].make())
    assert len(vi.without_features(posterior).trainable_variables) == len(fresh.trainable_variables)


def test_it_starts_near_the_standard_normal():
    q = vi.without_features(CASES["IAF"].make())
    z, log_q = q.experimental_sample_and_log_prob(50, seed=[0, 1])
    np.testing.assert_allclose(log_q, tfd.MultivariateNormalDiag(tf.zeros([4])).log_prob(z), atol=0.5)


def test_a_checkpoint_keeps_it(tmp_path):
    q = moved(vi.without_features(CASES["NICE, odd"].make()))
    path = tf.train.Checkpoint(q=q).write(str(tmp_path / "checkpoint"))
    other = vi.without_features(CASES["NICE, odd"].make())
    z = q.sample(5, seed=[0, 1])
    assert not np.allclose(other.log_prob(z), q.log_prob(z))
    tf.train.Checkpoint(q=other).read(path).assert_consumed()
    np.testing.assert_allclose(other.log_prob(tf.identity(z)), q.log_prob(tf.identity(z)))


@pytest.mark.long
def test_more_planar_flows_come_closer():
    """To a ring, which one flow cannot close."""

    def target(z):
        return -0.5 * tf.square((tf.norm(z, axis=-1) - 2.0) / 0.4)

    bounds = []
    for num_flows in (1, 6):
        keras.utils.set_random_seed(0)
        q = vi.without_features(PlanarFlow(2, num_flows=num_flows))
        fit = vi.fit(target, q, num_steps=600, sample_size=64, learning_rates=[0.03], annealing_steps=200)
        bounds.append(fit.elbo)
    assert bounds[1] > bounds[0] + 0.3


def test_another_object_is_refused():
    with pytest.raises(ValueError, match=r"must be a layer of .*, got <Dense"):
        vi.without_features(keras.layers.Dense(2))
