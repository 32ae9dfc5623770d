"""A model whose posterior is known: p(z) = N(0, I), p(x|z) = N(W z, s^2 I), so p(z|x) is a correlated Gaussian.

With Lambda = I + W'W / s^2 the posterior's precision, log p(x) - elbo is 0 for the best full-covariance posterior, and
(sum_i log Lambda_ii - log det Lambda) / 2 for the best diagonal one (the KL of a mean-field Gaussian).
"""

import keras
import numpy as np
import pytest
import tensorflow_probability as tfp

from tfp_iaf import VAE, evaluation
from tfp_iaf.posteriors import IAF, DiagonalGaussian, FullCovariance

tfd = tfp.distributions

W = np.array([[1.0, 0.6], [0.8, 0.9], [-0.2, 0.7]], np.float32)
NOISE = 0.5
LATENTS = W.shape[1]


def gap(posterior, epochs=80):
    """Mean of log p(x) - elbo(x) over the data, after training the posterior alone."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=[2048, LATENTS]) @ W.T + NOISE * rng.normal(size=[2048, len(W)])
    x = x.astype(np.float32)
    decoder = keras.layers.Dense(2 * len(W), trainable=False)
    decoder.build((None, LATENTS))
    # The second half are the scale parameters: log s = 5 tanh(v / 5).
    unconstrained = 5.0 * np.arctanh(np.log(NOISE) / 5.0)
    kernel = np.concatenate([W.T, np.zeros_like(W.T)], axis=1)
    decoder.set_weights([kernel, np.concatenate([np.zeros(len(W)), np.full(len(W), unconstrained)])])
    model = VAE(keras.layers.Identity(), posterior, decoder, likelihood="normal", num_samples=2)
    schedule = keras.optimizers.schedules.CosineDecay(2e-2, epochs * len(x) // 256)
    model.compile(keras.optimizers.Adam(schedule), jit_compile=False)
    model.fit(x, batch_size=256, epochs=epochs, verbose=0)
    covariance = W @ W.T + NOISE**2 * np.eye(len(W))
    log_p = tfd.MultivariateNormalTriL(np.zeros(len(W)), np.linalg.cholesky(covariance)).log_prob(x.astype(np.float64))
    return float(np.mean(log_p - evaluation.elbo(model, x, num_samples=64, verbose=False)))


def diagonal_gap():
    precision = np.eye(LATENTS) + W.T @ W / NOISE**2
    return 0.5 * float(np.sum(np.log(np.diag(precision))) - np.linalg.slogdet(precision)[1])


def test_the_posterior_is_correlated_enough_to_tell():
    assert diagonal_gap() > 0.2


@pytest.mark.long
def test_full_covariance_closes_the_gap():
    assert abs(gap(FullCovariance(LATENTS, seed=0))) < 0.02


def test_diagonal_gap_is_its_closed_form():
    assert gap(DiagonalGaussian(LATENTS, seed=0)) == pytest.approx(diagonal_gap(), abs=0.02)


@pytest.mark.long
def test_iaf_closes_the_gap():
    assert abs(gap(IAF(LATENTS, num_flows=2, hidden_units=(32, 32), seed=0))) < 0.05
