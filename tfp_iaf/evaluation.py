"""Evaluation of a trained model: the bound and the importance-sampled log-likelihood of each example."""

import math

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import objectives
from tfp_iaf._arguments import integer

__all__ = ["bits_per_dim", "elbo", "log_likelihood", "mean_and_standard_error"]


def log_likelihood(
    model,
    x,
    num_samples=128,
    batch_size=128,
    max_rows=4096,
    seed=0,
    verbose=True,
    return_standard_error=False,
    jit_compile=None,
):
    """log p(x) of each example by importance sampling, in nats.

    ```none
    log p(x) ~ log (1/S) sum_s w_s,   w_s = p(x|z_s) p(z_s) / q(z_s|x),   z_s ~ q(z|x)
    ```

    A lower bound on log p(x) in expectation, tighter with more samples. Its Monte Carlo standard error is, by the delta
    method, std(w) / (sqrt(S) mean(w)); where q lacks mass that p(z|x) has, the estimate is low and so is its error.

    One function is compiled for all batches and samples; `max_rows` decoder rows at a time bound its memory.

    Args:
        model: a built `models.VAE` or `models.HierarchicalVAE`.
        x: `[N, ...]`, an array or tensor.
        num_samples: S, posterior samples an example.
        batch_size: examples at a time.
        max_rows: samples times examples at a time.
        seed: integer; equal seeds (and equal sizes above) give equal estimates.
        verbose: whether to show a progress bar.
        return_standard_error: whether to return the Monte Carlo standard error of every example too.
        jit_compile: whether to compile with XLA; None does as the model was compiled.

    Returns:
        A float64 array `[N]`; with `return_standard_error` one of shape `[2, N]`, the values and their errors.

    Raises:
        ValueError: for an empty x, NaN data (under a Bernoulli likelihood non-binary data), or sizes below 1.

    Source: Burda et al. 2016, equation 8; Rezende et al. 2014, appendix E.

    >>> from tfp_iaf import models, posteriors
    >>> model = models.VAE(keras.layers.Dense(8), posteriors.DiagonalGaussian(2), keras.layers.Dense(6))
    >>> log_likelihood(model, np.ones([10, 6]), num_samples=50, verbose=False).shape
    (10,)
    """

    if return_standard_error and num_samples == 1:
        raise ValueError("A standard error takes at least two samples: raise num_samples, or leave return_standard_error off.")

    def reduce(log_w):
        log_mean = objectives.importance_weighted_bound(log_w).numpy()
        # E[w^2] / E[w]^2 - 1, the squared coefficient of variation of the weights.
        relative_variance = np.expm1(objectives.importance_weighted_bound(2.0 * log_w).numpy() - 2.0 * log_mean)
        if not return_standard_error:
            return log_mean
        return np.stack([log_mean, np.sqrt(np.maximum(relative_variance, 0.0) / (num_samples - 1))])

    return _reduce_log_weights(reduce, model, x, num_samples, batch_size, max_rows, seed, verbose, jit_compile)


def elbo(model, x, num_samples=16, batch_size=128, max_rows=4096, seed=0, verbose=True, jit_compile=None):
    """The evidence lower bound of each example, its expectation over q(z|x) estimated with `num_samples` samples, in nats.

    Arguments, result and errors as in `log_likelihood`.

    >>> from tfp_iaf import models, posteriors
    >>> model = models.VAE(keras.layers.Dense(8), posteriors.DiagonalGaussian(2), keras.layers.Dense(6))
    >>> x = np.ones([10, 6])
    >>> bool((elbo(model, x, verbose=False) <= log_likelihood(model, x, num_samples=16, verbose=False)).all())
    True
    """

    def reduce(log_w):
        return log_w.mean(axis=0)

    return _reduce_log_weights(reduce, model, x, num_samples, batch_size, max_rows, seed, verbose, jit_compile)


def bits_per_dim(log_likelihood, data_shape):
    """Bits per dimension, -log p(x) / (D log 2) with D = prod(data_shape): what coding one entry of x costs; lower is better.

    Args:
        log_likelihood: log p(x) or a bound on it, in nats an example; a number or an array, such as `log_likelihood` returns.
        data_shape: the shape of one example, such as (32, 32, 3), or `model.data_shape`.

    Returns:
        A float64 number or an array, of the shape of `log_likelihood`.

    Raises:
        ValueError: unless `data_shape` holds positive integers.

    Source: Kingma et al. 2016, table 3.

    A uniform model of 256 levels:

    >>> float(bits_per_dim(-32 * 32 * 3 * np.log(256.0), (32, 32, 3)))
    8.0
    """
    num_dims = math.prod(integer("Every entry of data_shape", size) for size in data_shape)
    return -np.asarray(log_likelihood, np.float64) / (num_dims * math.log(2.0))


def mean_and_standard_error(values):
    """The mean over the examples and its standard error, std / sqrt(N).

    >>> mean_and_standard_error([1.0, 3.0])
    (2.0, 1.0)
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"A standard error takes at least two values in one dimension, got shape {values.shape}.")
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size))


def _reduce_log_weights(reduce, model, x, num_samples, batch_size, max_rows, seed, verbose, jit_compile):
    """`reduce` of the log importance weights, float64 `[S, B]`, batch by batch, joined along the last axis."""
    for name, value in (("num_samples", num_samples), ("batch_size", batch_size), ("max_rows", max_rows)):
        integer(name, value)
    x = np.asarray(x)
    if x.ndim < 2 or not len(x):
        raise ValueError(f"x must hold at least one example along its first axis, got shape {x.shape}.")
    if not model.built:
        model.build((None, *x.shape[1:]))
    model.check_data(x)
    batch_size = min(batch_size, len(x), max_rows)
    num_chunks = math.ceil(num_samples / (max_rows // batch_size))
    samples_a_chunk = math.ceil(num_samples / num_chunks)

    @tf.function(jit_compile=getattr(model, "jit_compile", False) if jit_compile is None else jit_compile)
    def log_weights(batch, seed):
        terms = model.elbo_terms(batch, num_samples=samples_a_chunk, seed=seed, training=False)
        return objectives.elbo(terms["reconstruction"], terms["kl"])

    num_batches = math.ceil(len(x) / batch_size)
    progress = keras.utils.Progbar(num_batches * num_chunks, unit_name="chunk") if verbose else None
    results = []
    for i in range(num_batches):
        batch = x[i * batch_size : (i + 1) * batch_size]
        # Padded to full size, so that nothing is compiled again.
        padded = tf.constant(np.concatenate([batch, np.repeat(batch[-1:], batch_size - len(batch), axis=0)]))
        chunks = []
        for j in range(num_chunks):
            chunks.append(log_weights(padded, tf.constant([seed, i * num_chunks + j], tf.int32)).numpy())
            if progress is not None:
                progress.add(1)
        results.append(reduce(np.concatenate(chunks)[:num_samples, : len(batch)].astype(np.float64)))
    return np.concatenate(results, axis=-1)
