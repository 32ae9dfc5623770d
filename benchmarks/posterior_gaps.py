"""The approximation gap and the amortization gap of a VAE's posterior: `benchmarks/gaps.py` says what they are."""

import math

import keras
import numpy as np
import tensorflow as tf

SAMPLES_AT_ONCE = 100


def log_weights(model, x, features, num_samples, seed=None):
    """log p(x, z) - log q(z) of samples of the posterior at the features, `[S, B]`."""
    z, log_q = model.posterior(features, num_samples=num_samples, seed=seed)
    parameters = model.decode(tf.reshape(z, [-1, *model.posterior.event_shape]))
    return model.log_likelihood_of(x, parameters, num_samples) + model.prior.log_prob(z) - log_q


def fitted(model, x, *, steps, num_samples, learning_rate):
    """The features of each x after gradient ascent on its bound, from the encoder's on."""
    features = tf.Variable(model.encode(x))
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps))
    optimizer.build([features])

    @tf.function
    def step():
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(features)
            bounds = tf.reduce_mean(log_weights(model, x, features, num_samples), axis=0)
            loss = -tf.reduce_sum(bounds)
        optimizer.apply([tape.gradient(loss, features)], [features])

    for _ in range(steps):
        step()
    return tf.convert_to_tensor(features)


def estimates(model, x, features, num_samples):
    """(bounds, log p(x)) of each x by samples of the posterior at the features, float64 `[B]` each.

    The samples are a multiple of `SAMPLES_AT_ONCE`: those asked for, rounded up.
    """
    weights = tf.function(lambda seed: log_weights(model, x, features, SAMPLES_AT_ONCE, seed))
    chunks = [weights(tf.constant([3, k])).numpy() for k in range(math.ceil(num_samples / SAMPLES_AT_ONCE))]
    values = np.concatenate(chunks).astype(np.float64)
    return values.mean(axis=0), np.logaddexp.reduce(values, axis=0) - math.log(len(values))


def gaps(model, x, *, steps, fit_samples, learning_rate, num_samples):
    """Name -> values of each x: the bound, the fitted bound, log p(x), and both gaps."""
    bound, _ = estimates(model, x, model.encode(x), num_samples)
    features = fitted(model, x, steps=steps, num_samples=fit_samples, learning_rate=learning_rate)
    fitted_bound, log_likelihood = estimates(model, x, features, num_samples)
    return {
        "bound": bound,
        "fitted_bound": fitted_bound,
        "log_likelihood": log_likelihood,
        "approximation_gap": log_likelihood - fitted_bound,
        "amortization_gap": fitted_bound - bound,
    }
