"""The gaps of a model whose posterior is known."""

import math

import keras
import numpy as np
import tensorflow as tf

import tfp_iaf
from benchmarks import posterior_gaps


def linear_gaussian():
    """x_i = z_i + noise, both standard normal: z | x is N(x / 2, 1 / 2), log p(x) known; the encoder gives N(0.3 x, 1)."""
    dense = keras.layers.Dense
    model = tfp_iaf.VAE(
        dense(4, use_bias=False),
        tfp_iaf.DiagonalGaussian(2),
        dense(4),
        likelihood="normal",
    )
    model.build((None, 2))
    model.encoder.kernel.assign(np.concatenate([np.eye(2), np.zeros([2, 2])], axis=1))
    # The first two features give the means, the others, which the encoder leaves at 0, the scales.
    kernel = np.diag([0.3, 0.3, 1.0, 1.0])
    model.posterior.base_layer.kernel.assign(kernel)
    # The last entries give the scale, 1 at 0.
    model.decoder.kernel.assign(np.concatenate([np.eye(2), np.zeros([2, 2])], axis=1))
    model.decoder.bias.assign(np.zeros(4))
    return model


def test_gaps_of_a_linear_gaussian_model():
    model = linear_gaussian()
    x = np.random.default_rng(0).normal(0.0, math.sqrt(2.0), [5, 2]).astype(np.float32)
    found = posterior_gaps.gaps(model, tf.constant(x), steps=400, fit_samples=32, learning_rate=0.05, num_samples=4000)
    log_likelihood = np.sum(-0.25 * x**2 - 0.5 * math.log(4.0 * math.pi), axis=-1)
    np.testing.assert_allclose(found["log_likelihood"], log_likelihood, atol=0.02)
    # The family holds the posterior, so all that is lost is the encoder's: KL(N(0.3 x, 1), N(x / 2, 1 / 2)).
    kl = np.sum(0.5 * (1.0 + 2.0 * (0.2 * x) ** 2 - math.log(2.0)), axis=-1)
    np.testing.assert_allclose(found["approximation_gap"], 0.0, atol=0.02)
    np.testing.assert_allclose(found["amortization_gap"], kl, atol=0.05)
