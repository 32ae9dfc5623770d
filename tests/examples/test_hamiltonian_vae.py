"""Hamiltonian variational inference on a linear-Gaussian model, where the optimal reverse model is known."""

import math
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import evaluation

tfd = tfp.distributions

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
# Per entry of z and x: p(x | z) = N(LOADING z, NOISE^2); all densities split by entry.
LOADING, NOISE = np.array([1.5, -0.7]), 0.5
STEP_SIZE, LEAPFROGS, REFRESHMENTS = 0.3, 2, 2


@keras.saving.register_keras_serializable("tests")
def normal(loc):
    return tfd.MultivariateNormalDiag(loc, NOISE * tf.ones_like(loc))


def set_gaussian(layer, slopes, offset, scale):
    """N(sum of slope * input + offset, scale^2) of each entry; the layer reads all inputs side by side."""
    kernel, bias = layer.base_layer.kernel, layer.base_layer.bias
    loc = np.concatenate([np.diag(np.broadcast_to(slope, [2])) for slope in slopes])
    kernel.assign(np.concatenate([loc, np.zeros_like(loc)], axis=1))
    unconstrained = np.log(np.expm1(np.broadcast_to(scale, [2]) - 1e-5)) - math.log(math.e - 1.0)
    bias.assign(np.concatenate([np.broadcast_to(offset, [2]), unconstrained]))


def leapfrogs(z, v, x):
    """Of log p(x, z), in NumPy."""

    def force(z):
        return -z + LOADING * (x - LOADING * z) / NOISE**2

    for _ in range(LEAPFROGS):
        v = v + 0.5 * STEP_SIZE * force(z)
        z = z + STEP_SIZE * v
        v = v + 0.5 * STEP_SIZE * force(z)
    return np.stack([z, v])


@pytest.fixture(scope="module")
def model():
    """With the optimal r; `model.moments` are slope in x, offset and variance of z_T given x, per entry."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        from hamiltonian_model import HamiltonianVAE
    model = HamiltonianVAE(
        (2,),
        2,
        hidden_units=(),
        momentum_hidden_units=(),
        leapfrog_steps=LEAPFROGS,
        refreshments=REFRESHMENTS,
        step_size=STEP_SIZE,
        seed=0,
        likelihood=normal,
    )
    model.build((None, 2))
    model.decoder.layers[0].kernel.assign(np.diag(LOADING))
    set_gaussian(model.posterior, [0.2], 0.3, 0.6)
    # z given x: slope, offset, variance. The leapfrogs are linear in z, v and x.
    slope, offset, variance = np.full(2, 0.2), np.full(2, 0.3), np.full(2, 0.36)
    zeros, ones = np.zeros(2), np.ones(2)
    by_z, by_v, by_x = leapfrogs(ones, zeros, zeros), leapfrogs(zeros, ones, zeros), leapfrogs(zeros, zeros, ones)
    for momentum, reverse, of_z in zip(model.momenta, model.reverse_momenta, (0.4, -0.5)):
        of_x, shift, scale = 0.1, -0.2, 1.3
        set_gaussian(momentum.gaussian, [of_x, of_z], shift, scale)
        # (z, v) given x, moved.
        slopes = by_z * slope + by_v * (of_x + of_z * slope) + by_x
        offsets = by_z * offset + by_v * (shift + of_z * offset)
        factors = by_z + by_v * of_z
        covariance = variance * factors[:, np.newaxis] * factors + scale**2 * by_v[:, np.newaxis] * by_v
        slope, offset, variance = slopes[0], offsets[0], covariance[0, 0]
        gain = covariance[0, 1] / variance
        left = np.sqrt(covariance[1, 1] - gain * covariance[0, 1])
        set_gaussian(reverse.gaussian, [slopes[1] - gain * slope, gain], offsets[1] - gain * offset, left)
    return model, (slope, offset, variance)


X = np.array([[0.3, -1.0], [2.0, 0.5], [-0.7, 0.1]], np.float32)


def log_p():
    scale = np.broadcast_to(np.sqrt(LOADING**2 + NOISE**2), [2]).astype(np.float32)
    return tfd.MultivariateNormalDiag(tf.zeros([2]), scale).log_prob(X).numpy()


def test_with_the_optimal_reverse_model_log_q_is_that_of_z(model):
    model, (slope, offset, variance) = model
    for seed in range(3):
        z, log_q = model.posterior_sample(X, seed=seed)
        exact = tfd.MultivariateNormalDiag((X * slope + offset).astype(np.float32), np.sqrt(variance).astype(np.float32))
        np.testing.assert_allclose(log_q, exact.log_prob(z), atol=2e-4)


def test_the_bound_is_log_p_less_the_divergence(model):
    model, (slope, offset, variance) = model
    precision = 1.0 + LOADING**2 / NOISE**2
    posterior = tfd.MultivariateNormalDiag(X * LOADING / NOISE**2 / precision, np.sqrt(1.0 / precision))
    q = tfd.MultivariateNormalDiag(X * slope + offset, np.sqrt(variance))
    exact = log_p() - tfd.kl_divergence(q, posterior).numpy()
    bound = evaluation.elbo(model, X, num_samples=4000)
    np.testing.assert_allclose(bound, exact, atol=0.1)
    assert np.all(bound < log_p())
    # A reverse model that is worse gives a lower bound, and never one above log p(x).
    bias = model.reverse_momenta[0].gaussian.base_layer.bias
    best = bias.numpy()
    bias.assign(best + 0.5)
    assert np.all(evaluation.elbo(model, X, num_samples=4000) < bound)
    bias.assign(best)


def test_importance_weights_are_valid(model):
    np.testing.assert_allclose(evaluation.log_likelihood(model[0], X, num_samples=4000), log_p(), atol=0.05)


def test_a_file_holds_it_and_no_density_of_z_is_claimed(model, tmp_path):
    model, _ = model
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(model.posterior_sample(X, seed=1), loaded.posterior_sample(X, seed=1)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    with pytest.raises(NotImplementedError, match="no posterior density of given latents"):
        loaded.posterior_log_prob(X, X)
