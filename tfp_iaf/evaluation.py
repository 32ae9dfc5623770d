"""Evaluation of a trained model: the bound and the importance-sampled log-likelihood of each example."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import noise, objectives
from tfp_iaf._arguments import flag, given, integer, integers
from tfp_iaf._kept_functions import kept_function
from tfp_iaf._progress import is_interactive
from tfp_iaf._tensors import array_of_numbers
from tfp_iaf._types import Data, Seed, TensorLike
from tfp_iaf.models import ElboModel

__all__ = ["bits_per_dim", "elbo", "log_likelihood", "mean_and_standard_error"]

_BUILDING = threading.Lock()


def log_likelihood(
    model: ElboModel,
    x: Data,
    num_samples: int = 128,
    batch_size: int = 128,
    max_rows: int = 4096,
    seed: Seed = 0,
    verbose: bool = True,
    return_standard_error: bool = False,
    return_effective_sample_size: bool = False,
    jit_compile: bool | None = None,
) -> np.ndarray:
    """log p(x) of each example by importance sampling, in nats.

    ```none
    log p(x) ~ log (1/S) sum_s w_s,   w_s = p(x|z_s) p(z_s) / q(z_s|x),   z_s ~ q(z|x)
    standard error        = std(w) / (sqrt(S) mean(w))      (the delta method)
    effective sample size = (sum_s w_s)^2 / sum_s w_s^2     (between 1 and S)
    ```

    In expectation the estimate is a lower bound on log p(x), and it gets tighter with more samples.

    The standard error is too small where few samples carry most of the weight: q then lacks mass that p(z|x) has, the
    estimate is low, and the samples do not show by how much. The effective sample size shows this: if it is far below S for
    many examples, take more samples, or train a more flexible posterior.

    A conditional model is evaluated at (x, condition), and gives log p(x|condition). A `models.ConditionalDensity` has no
    latents: its estimate is exact for any number of samples.

    The first call compiles one function for all batches and samples, and later calls of the same sizes use it again. It is
    kept with the model until variables, layers or plain attributes (numbers, texts, functions) change. `max_rows` bounds the
    memory: so many rows pass the decoder at a time.

    Args:
        model: a `models.VAE`, a `models.HierarchicalVAE`, or another `models.ElboModel`.
        x: what the model's `fit` takes, without weights and with an end: `[N, ...]`, an array, a tensor, a list or a DataFrame;
            a tuple (x, condition) of those, for a conditional model; a batched `tf.data.Dataset`, a generator or a
            `keras.utils.PyDataset` with elements x, (x,) or ((x, condition),).
        num_samples: S, the number of posterior samples per example.
        batch_size: examples at a time. Batches of datasets and generators are cut to this size.
        max_rows: samples times examples at a time.
        seed: an integer, or an int32 pair; equal seeds (and equal sizes above) give equal estimates.
        verbose: whether to show a progress bar in a terminal or notebook. Nothing is written to files and pipes.
        return_standard_error: whether to return the Monte Carlo standard error of every example too.
        return_effective_sample_size: whether to return the effective sample size of every example too.
        jit_compile: whether to compile with XLA; None does as the model was compiled.

    Returns:
        A float64 array `[N]`; with one of the `return_` arguments `[2, N]`, and with both `[3, N]`: the values, their
        standard errors, their effective sample sizes.

    Raises:
        TypeError: if the model is no `models.ElboModel`.
        ValueError: for an empty x, data that the model's likelihood cannot score, an unbatched or infinite dataset, weights, a
            condition that is missing or not asked for, or sizes below 1.

    Source: Burda et al. 2016, equation 8; Rezende et al. 2014, appendix E. Effective sample size: Kong 1992.

    >>> from tfp_iaf import models, posteriors
    >>> model = models.VAE(keras.layers.Dense(8), posteriors.DiagonalGaussian(2), keras.layers.Dense(6))
    >>> log_likelihood(model, np.ones([10, 6]), num_samples=50).shape
    (10,)
    >>> values, sizes = log_likelihood(model, np.ones([10, 6]), num_samples=50, return_effective_sample_size=True)
    >>> bool((sizes <= 50.0).all())
    True
    """
    flag("return_effective_sample_size", return_effective_sample_size)
    if flag("return_standard_error", return_standard_error) and integer("num_samples", num_samples) == 1:
        raise ValueError("A standard error takes at least two samples: raise num_samples, or leave return_standard_error off.")

    def reduce(log_w):
        log_mean = objectives.importance_weighted_bound(log_w).numpy()
        # E[w^2] / E[w]^2, one plus the squared coefficient of variation of the weights; NaN where every weight is zero.
        with np.errstate(invalid="ignore"):
            second_moment = np.exp(objectives.importance_weighted_bound(2.0 * log_w).numpy() - 2.0 * log_mean)
        results = [log_mean]
        if return_standard_error:
            results.append(np.sqrt(np.maximum(second_moment - 1.0, 0.0) / (num_samples - 1)))
        if return_effective_sample_size:
            results.append(np.clip(num_samples / second_moment, 1.0, num_samples))
        return np.stack(results) if len(results) > 1 else log_mean

    return _reduce_log_weights(
        reduce,
        model,
        x,
        num_samples=num_samples,
        batch_size=batch_size,
        max_rows=max_rows,
        seed=seed,
        verbose=verbose,
        jit_compile=jit_compile,
    )


def elbo(
    model: ElboModel,
    x: Data,
    num_samples: int = 16,
    batch_size: int = 128,
    max_rows: int = 4096,
    seed: Seed = 0,
    verbose: bool = True,
    jit_compile: bool | None = None,
) -> np.ndarray:
    """The evidence lower bound of each example, its expectation over q(z|x) estimated with `num_samples` samples, in nats.

    ```none
    elbo(x) ~ (1/S) sum_s (log p(x|z_s) + log p(z_s) - log q(z_s|x)),   z_s ~ q(z|x)
    ```

    Arguments, result and errors are those of `log_likelihood`.

    Source: Kingma and Welling 2014, equation 7.

    >>> from tfp_iaf import models, posteriors
    >>> model = models.VAE(keras.layers.Dense(8), posteriors.DiagonalGaussian(2), keras.layers.Dense(6))
    >>> x = np.ones([10, 6])
    >>> bool((elbo(model, x) <= log_likelihood(model, x, num_samples=16)).all())
    True
    """
    return _reduce_log_weights(
        lambda log_w: log_w.mean(axis=0),
        model,
        x,
        num_samples=num_samples,
        batch_size=batch_size,
        max_rows=max_rows,
        seed=seed,
        verbose=verbose,
        jit_compile=jit_compile,
    )


def bits_per_dim(log_likelihood: TensorLike, data_shape: Sequence[int]) -> np.ndarray | np.float64:
    """Bits per dimension, -log p(x) / (D log 2) with D = prod(data_shape): what coding one entry of x costs; lower is better.

    Args:
        log_likelihood: log p(x) or a bound on it, in nats per example; a number or an array, such as `log_likelihood` returns.
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
    num_dims = math.prod(integers("data_shape", data_shape, "sizes"))
    return -array_of_numbers("log_likelihood", log_likelihood).astype(np.float64) / (num_dims * math.log(2.0))


def mean_and_standard_error(values: TensorLike) -> tuple[float, float]:
    """The mean over the examples and its standard error, std / sqrt(N).

    >>> mean_and_standard_error([1.0, 3.0])
    (2.0, 1.0)
    """
    values = array_of_numbers("values", values).astype(np.float64)
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"A standard error takes at least two values in one dimension, got shape {values.shape}.")
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size))


def _reduce_log_weights(reduce, model, x, *, num_samples, batch_size, max_rows, seed, verbose, jit_compile):
    """`reduce` of the log importance weights, float64 `[S, B]`, batch by batch, joined along the last axis."""
    if not isinstance(model, ElboModel):
        raise TypeError(f"The evaluation takes a models.ElboModel, such as a VAE, got {given(model)}.")
    for name, value in (("num_samples", num_samples), ("batch_size", batch_size), ("max_rows", max_rows)):
        integer(name, value)
    flag("verbose", verbose)
    jit_compile = None if jit_compile is None else flag("jit_compile", jit_compile)
    seed = noise.seed_pair(seed)
    batches, num_batches = model.batches(x, min(batch_size, max_rows))
    results, progress = [], None
    for i, batch in enumerate(batches):
        num_rows = len(batch[0])
        if not i:
            with _BUILDING:
                model.build_for(batch if len(batch) > 1 else batch[0])
            # The first batch is the largest.
            size = num_rows
            num_chunks = math.ceil(num_samples / (max_rows // size))
            log_weights = _log_weights(model, math.ceil(num_samples / num_chunks), jit_compile)
            if verbose and is_interactive():
                progress = keras.utils.Progbar(None if num_batches is None else num_batches * num_chunks, unit_name="chunk")
        # Padded to full size, so that nothing is compiled again.
        padded = [tf.constant(np.concatenate([part, np.repeat(part[-1:], size - num_rows, axis=0)])) for part in batch]
        chunks = []
        for j in range(num_chunks):
            chunks.append(log_weights(*padded, seed=seed, index=tf.constant(i * num_chunks + j)).numpy())
            if progress is not None:
                progress.add(1)
        results.append(reduce(np.concatenate(chunks)[:num_samples, :num_rows].astype(np.float64)))
    if not results:
        raise ValueError("x must hold at least one example, got none.")
    return np.concatenate(results, axis=-1)


def _log_weights(model, num_samples, jit_compile):
    """A compiled function (x, [condition,] seed, index) -> log p(x, z) - log q(z|x), `[S, B]`."""
    jit_compile = bool(getattr(model, "jit_compile", False)) if jit_compile is None else jit_compile

    def log_weights(*batch, seed, index):
        seed = tf.random.experimental.stateless_fold_in(seed, index, alg="philox")
        x = batch if len(batch) > 1 else batch[0]
        terms = model.elbo_terms(x, num_samples=num_samples, seed=seed, training=False)
        return objectives.elbo(terms["reconstruction"], terms["kl"])

    key = "log weights", num_samples, jit_compile
    return kept_function(model, key, lambda: tf.function(log_weights, jit_compile=jit_compile, autograph=False))  # As in `fit`.
