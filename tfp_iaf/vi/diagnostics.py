"""How far a fitted surrogate is from its target, measured by importance weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf._arguments import integer
from tfp_iaf._tensors import array_of_numbers
from tfp_iaf._types import Seed, TensorLike
from tfp_iaf.noise import seed_pair
from tfp_iaf.vi._target import at_draws, check_one_posterior, log_density

__all__ = ["Diagnosis", "diagnose", "pareto_k"]


class Diagnosis(NamedTuple):
    """What `diagnose` found.

    Args:
        elbo: mean of log w, a lower bound on log p(x) (on the log of the target's normalizer), in nats.
        log_evidence: the estimate of log p(x) by importance sampling, in nats.
        effective_sample_size: that of the importance weights per draw, in (0, 1]; 1 where q is the target.
        pareto_k: the shape of the weights' tail.
        threshold: the largest `pareto_k` at which importance sampling with so many draws can be trusted.
    """

    elbo: float
    log_evidence: float
    effective_sample_size: float
    pareto_k: float
    threshold: float


def diagnose(
    joint_distribution: tfp.distributions.Distribution | Callable,
    surrogate_posterior: tfp.distributions.Distribution,
    num_samples: int = 10000,
    seed: Seed = 0,
) -> Diagnosis:
    """Importance weights of the surrogate's draws: effective sample size and Pareto k.

    ```none
    w_s = p(z_s) / q(z_s),  z_s ~ q;    effective sample size = (sum w)^2 / (S sum w^2)
    k: shape of the generalized Pareto distribution that fits the largest min(S / 5, 3 sqrt(S)) weights
    ```

    A k below the threshold, min(1 - 1 / log10(S), 0.7), means that q covers the target's tails well enough for importance
    sampling. Neither figure sees a mode that q misses altogether.

    Args:
        joint_distribution: pinned or not, or a function from the surrogate's samples to an unnormalized log-density.
        surrogate_posterior: a `tfd.Distribution` of one posterior.
        num_samples: S, at least 10,000 for a k to rely on.
        seed: an integer or a pair.

    Returns:
        A `Diagnosis`.

    Raises:
        ValueError: for fewer than 100 draws, a batch of posteriors, a target of another kind, one that does not give one value
            per draw, or one that is 0 at every draw, infinite, or NaN.

    Source: Yao et al. 2018, "Yes, but did it work?", section 2; Vehtari et al. 2024, "Pareto smoothed importance sampling".

    >>> import tensorflow_probability as tfp
    >>> tfd = tfp.distributions
    >>> target, q = tfd.Normal(0.0, 1.0), tfd.Normal(0.0, 1.0)
    >>> diagnose(target.log_prob, q).effective_sample_size
    1.0
    """
    integer("num_samples", num_samples, at_least=100)
    check_one_posterior(surrogate_posterior)
    target = log_density(joint_distribution, surrogate_posterior)
    z, log_q = surrogate_posterior.experimental_sample_and_log_prob(num_samples, seed=seed_pair(seed))
    log_w = tf.cast(at_draws(target, z, log_q) - log_q, tf.float64).numpy()
    k, largest = pareto_k(log_w), log_w.max()
    w = np.exp(log_w - largest)
    return Diagnosis(
        elbo=float(log_w.mean()),
        log_evidence=float(largest + np.log(w.mean())),
        effective_sample_size=float(w.sum() ** 2 / (w**2).sum() / num_samples),
        pareto_k=k,
        threshold=min(1.0 - 1.0 / math.log10(num_samples), 0.7),
    )


def pareto_k(log_weights: TensorLike) -> float:
    """The shape k of a generalized Pareto distribution fitted to the largest importance weights.

    The empirical Bayes estimate of Zhang and Stephens (2009), shrunk towards 0.5 by the weight of ten draws.

    Args:
        log_weights: `[S]`, log importance weights, S at least 25.

    Returns:
        k: below 0 for bounded weights, at least 1 where their mean does not exist; -inf for equal weights, and inf where fewer
            than six are above 0.

    Source: Vehtari et al. 2024, "Pareto smoothed importance sampling", section 3 and appendix C.

    >>> rng = np.random.default_rng(0)
    >>> round(pareto_k(0.4 * rng.exponential(size=100000)), 1)  # w = u^(-0.4)
    0.4
    """
    log_weights = np.sort(array_of_numbers("log_weights", log_weights).astype(np.float64), axis=None)
    size = len(log_weights)
    if np.isnan(log_weights).any():
        raise ValueError("log_weights must be numbers, got NaN among them: check the densities that they come from.")
    if size and not np.isfinite(log_weights[-1]):
        fault = "an infinite weight" if log_weights[-1] > 0.0 else "no weight above 0"
        raise ValueError(f"log_weights must have a finite maximum, got {fault}: check the densities that they come from.")
    tail = math.ceil(min(size / 5.0, 3.0 * math.sqrt(size)))
    if size < 25:
        raise ValueError(f"pareto_k takes at least 25 weights, got {size}.")
    # What the largest weights exceed the next one by, in logs: those of a poor fit span more than numbers do.
    # A tail of positive weights.
    tail = min(tail, int(np.isfinite(log_weights).sum()) - 1)
    if tail < 5:
        return math.inf
    x, cut = log_weights[-tail:], log_weights[-tail - 1]
    with np.errstate(divide="ignore"):
        x = x + np.log(-np.expm1(cut - x))
    if np.isneginf(x[-1]):
        return -math.inf
    # Zhang and Stephens: a grid of m values of b = k / sigma, weighted by their profile likelihoods. In units of the quartile.
    count, quartile = len(x), x[int(len(x) / 4.0 + 0.5) - 1]
    x = x - (quartile if np.isfinite(quartile) else x[np.isfinite(x)][0])
    m = 30 + int(math.sqrt(count))
    b = math.exp(-x[-1]) + (1.0 - np.sqrt(m / (np.arange(1, m + 1) - 0.5))) / 3.0
    shape = np.array([_mean_log1p(-each, x) for each in b])
    log_likelihood = count * (np.log(-b / shape) - shape - 1.0)
    likelihood = np.exp(log_likelihood - log_likelihood.max())
    k = _mean_log1p(-np.sum(b * likelihood) / likelihood.sum(), x)
    return float((count * k + 10.0 * 0.5) / (count + 10.0))


def _mean_log1p(factor, log_x):
    """The mean of log(1 + factor x), for a factor above -1 / max(x)."""
    if factor > 0.0:
        return np.logaddexp(0.0, math.log(factor) + log_x).mean()
    return np.log1p(factor * np.exp(log_x)).mean()
