import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties
from tfp_iaf.posteriors import DiagonalGaussian, FullCovariance

tfd = tfp.distributions


def features(rows=6):
    return np.random.default_rng(0).normal(size=[rows, 7])


def trained(kind, size=3, **kwargs):
    posterior = kind(size, **{"dtype": "float64", "seed": 1, **kwargs})
    posterior.build((None, 7))
    properties.randomize(posterior)
    return posterior


@pytest.mark.parametrize("kind", [DiagonalGaussian, FullCovariance])
def test_moments_entropy_and_divergence_are_those_of_the_samples(kind):
    posterior = trained(kind)
    distribution = posterior.distribution(features())
    z, log_q = posterior(features(), num_samples=60000)
    np.testing.assert_allclose(distribution.mean(), np.mean(z, axis=0), atol=0.05)
    for row in range(6):
        np.testing.assert_allclose(distribution.covariance()[row], np.cov(z[:, row].numpy().T), atol=0.1, rtol=0.05)
    np.testing.assert_allclose(distribution.entropy(), -np.mean(log_q, axis=0), atol=0.03)
    prior = tfd.MultivariateNormalDiag(np.zeros(3), np.ones(3))
    kl = np.mean(log_q - prior.log_prob(z), axis=0)
    np.testing.assert_allclose(tfd.kl_divergence(distribution, prior), kl, atol=0.05)


def test_diagonal_maps_have_moments_too():
    posterior = DiagonalGaussian(latent_shape=(3, 2, 2))
    distribution = posterior.distribution(np.ones([5, 3, 2, 4], np.float32))
    assert distribution.mean().shape == distribution.variance().shape == (5, 3, 2, 2)
    prior = tfd.Independent(tfd.Normal(tf.zeros([3, 2, 2]), 1.0), reinterpreted_batch_ndims=3)
    assert distribution.entropy().shape == tfd.kl_divergence(distribution, prior).shape == (5,)


def test_full_covariance_starts_diagonal_and_is_correlated_later():
    start = FullCovariance(3)
    covariance = start.distribution(features()).covariance().numpy()
    np.testing.assert_allclose(covariance, np.einsum("bij,ij->bij", covariance, np.eye(3)), atol=1e-7)
    correlation = tfp.stats.correlation(trained(FullCovariance)(features()[:1], num_samples=5000)[0][:, 0])
    assert np.abs(correlation - np.eye(3)).max() > 0.1


@pytest.mark.parametrize("size", [2, 8, 64])
@pytest.mark.parametrize("magnitude", [1.0, 10.0, 100.0, 1e4])
def test_own_samples_keep_their_density_whatever_the_features(size, magnitude):
    """An unbounded L is singular to float32 for features near 10."""
    posterior = trained(FullCovariance, size, dtype="float32")
    properties.randomize(posterior, scale=1.0)
    x = (magnitude * np.random.default_rng(1).normal(size=[50, 7])).astype(np.float32)
    z, log_q = posterior(x, num_samples=4)
    assert np.isfinite(log_q).all()
    error = np.abs(posterior(x, value=properties.fresh(z)) - log_q)
    assert error.max() < 0.05
    assert np.median(error) < 0.005
    # In float64, the density of the float32 sample is the one that came with it.
    exact = trained(FullCovariance, size)
    exact.set_weights([weight.numpy() for weight in posterior.weights])
    drift = np.abs(exact(x, value=z).numpy() - log_q.numpy()) / (1.0 + np.abs(log_q))
    assert np.median(drift) < 1e-3


def test_the_bounds_are_those_of_the_arguments():
    posterior = trained(FullCovariance, 8, row_norm=0.5, relative_scale=0.1)
    x = 100.0 * features()
    distribution = posterior.distribution(x)
    scale_tril = distribution.scale.to_dense().numpy()
    scale = np.diagonal(scale_tril, axis1=1, axis2=2)
    unit = scale_tril / scale[:, None, :]
    rows = np.linalg.norm(unit - np.eye(8), axis=-1)
    assert rows.max() <= 0.5 + 1e-9
    assert rows.max() > 0.45
    loc = np.abs(np.linalg.solve(unit, distribution.mean().numpy()[..., None])[..., 0])
    assert (scale >= 0.09 * loc.max(axis=1, keepdims=True)).all()
    twin = FullCovariance.from_config(posterior.get_config())
    assert (twin.row_norm, twin.relative_scale) == (0.5, 0.1)


@pytest.mark.long
def test_strong_correlations_are_within_reach():
    """A posterior whose entries all have correlation 0.95, fitted by maximum likelihood."""
    rng = np.random.default_rng(0)
    z = (np.sqrt(0.95) * rng.normal(size=[4096, 1]) + np.sqrt(0.05) * rng.normal(size=[4096, 6])).astype(np.float32)
    posterior = FullCovariance(6)
    x, value = keras.Input((1,)), keras.Input((6,))
    model = keras.Model([x, value], posterior(x, value=value))
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 600)), loss=lambda _, log_q: -log_q)
    history = model.fit([np.ones([4096, 1], np.float32), z], np.zeros(4096), batch_size=512, epochs=75, verbose=0).history
    covariance = 0.05 * np.eye(6) + 0.95
    entropy = 0.5 * np.linalg.slogdet(2.0 * np.pi * np.e * covariance)[1]
    assert history["loss"][-1] < entropy + 0.05


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"latent_size": 1}, "use DiagonalGaussian"),
        ({"latent_size": 3, "row_norm": 0.0}, "row_norm must be a positive number"),
        ({"latent_size": 3, "relative_scale": -1.0}, "relative_scale must be a positive number"),
    ],
)
def test_bad_arguments_raise_one_line(kwargs, message):
    with pytest.raises(ValueError, match=message) as error:
        FullCovariance(**kwargs)
    assert "\n" not in str(error.value)
