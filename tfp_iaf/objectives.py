"""Objectives: pure functions of log-probabilities, in nats, higher is better."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfp_iaf import _compat
from tfp_iaf._arguments import given, non_negative, positive
from tfp_iaf._tensors import check_numbers

__all__ = [
    "along_path",
    "annealed_free_energy",
    "elbo",
    "free_bits",
    "importance_weighted_bound",
    "scale_gradient",
    "soft_free_bits_weights",
]


def elbo(reconstruction: tf.Tensor, kl: tf.Tensor, kl_weight: float | tf.Tensor = 1.0) -> tf.Tensor:
    """The evidence lower bound of each example: reconstruction - kl_weight * kl.

    Args:
        reconstruction: log p(x|z) at samples z of q(z|x).
        kl: log q(z|x) - log p(z) at the same samples: an unbiased estimate of KL(q || p), or the exact one.
        kl_weight: 1 for the bound; less while the KL is warmed up.

    Returns:
        The bound, of the arguments' broadcast shape. For one sample and weight 1 it is also the log importance weight
        log p(x, z) - log q(z|x).

    Source: Kingma and Welling 2014, equation 2; with a weight Higgins et al. 2017, equation 4.

    >>> elbo(tf.constant([-80.0]), tf.constant([20.0])).numpy()
    array([-100.], dtype=float32)
    """
    _check(reconstruction=reconstruction, kl=kl, kl_weight=kl_weight)
    return reconstruction - kl_weight * kl


def importance_weighted_bound(log_weights: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """log (1/S) sum_s w_s, a lower bound on log p(x) that tightens with S; with S = 1 it is the ELBO.

    Args:
        log_weights: log w_s = log p(x, z_s) - log q(z_s|x), z_s ~ q(z|x): `elbo` of each sample.
        axis: the axis of the S samples.

    Returns:
        The bound, without that axis.

    Source: Burda et al. 2016, equation 8.

    >>> importance_weighted_bound(tf.constant([[-100.0], [-100.0]])).numpy()
    array([-100.], dtype=float32)
    """
    _check(log_weights=log_weights)
    log_weights = tf.convert_to_tensor(log_weights)
    if not log_weights.dtype.is_floating or not log_weights.shape.rank:
        raise ValueError(f"log_weights must be floats with an axis of samples, got {given(log_weights)}.")
    num_samples = tf.cast(tf.shape(log_weights)[axis], log_weights.dtype)
    return tf.reduce_logsumexp(log_weights, axis=axis) - tf.math.log(num_samples)


def annealed_free_energy(bound: tf.Tensor, log_q: tf.Tensor, inverse_temperature: float | tf.Tensor) -> tf.Tensor:
    """E[log q(z|x) - beta log p(x, z)] with its sign changed: beta bound - (1 - beta) log q(z|x), which training maximizes.

    Weighting the KL by beta is another objective: there the likelihood keeps its weight of 1.

    Args:
        bound: `elbo` of the same samples, log p(x, z) - log q(z|x).
        log_q: log q(z|x), of the bound's shape.
        inverse_temperature: beta, in (0, 1]; 1 gives the bound.

    Returns:
        beta log p(x, z) - log q(z|x).

    Source: Rezende and Mohamed 2015, equation 20.

    >>> annealed_free_energy(tf.constant([-100.0]), log_q=tf.constant([-8.0]), inverse_temperature=0.5).numpy()
    array([-46.], dtype=float32)
    """
    _check(bound=bound, log_q=log_q, inverse_temperature=inverse_temperature)
    return inverse_temperature * bound - (1.0 - inverse_temperature) * log_q


def along_path(log_q: tf.Tensor, score: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    """log q(z|x) whose gradient flows through z alone ("sticking the landing").

    ```none
    value: log q(z|x);    gradient: (d log q / dz) dz, with the parameters of q held fixed
    ```

    The part that is left out, the derivative of log q with respect to its parameters at a fixed z, has mean 0. Without it the
    gradient of the ELBO vanishes for every sample where q is the true posterior.

    Args:
        log_q: `[...]`.
        score: d log q / dz at z, `[..., *latent_shape]`, from `posteriors.Posterior.draw_with_score`.
        z: the sample, differentiable.

    Returns:
        log q, of the same shape and value.

    Source: Roeder et al. 2017, equation 8; for flows Vaitl et al. 2024.

    >>> z = tf.Variable([[1.0, 2.0]])
    >>> with tf.GradientTape() as tape:
    ...     log_q = along_path(tf.constant([-3.0]), score=tf.constant([[5.0, 7.0]]), z=z)
    >>> log_q.numpy(), tape.gradient(log_q, z).numpy()
    (array([-3.], dtype=float32), array([[5., 7.]], dtype=float32))
    """
    _check(log_q=log_q, score=score, z=z)
    moved = tf.stop_gradient(score) * (z - tf.stop_gradient(z))
    return tf.stop_gradient(log_q) + tf.reduce_sum(moved, axis=range(len(log_q.shape), len(z.shape)))


def scale_gradient(z: tf.Tensor, factor: Callable[[], tf.Tensor]) -> tf.Tensor:
    """z, with a gradient that is multiplied by `factor()`.

    The doubly reparameterized gradient of `importance_weighted_bound` is its ordinary gradient with log q `along_path` and the
    gradient of each sample z_s multiplied by its normalized weight w_s / sum w: weights and prior then get the factor
    w_s / sum w, and what z_s comes from its square.

    Args:
        z: `[..., *latent_shape]`.
        factor: a function that returns `[...]`; it is called when the gradient is, so it may depend on what came of z.

    Source: Tucker et al. 2019 ("Doubly reparameterized gradient estimators"), equation 8.

    >>> z = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    >>> with tf.GradientTape() as tape:
    ...     total = tf.reduce_sum(scale_gradient(z, lambda: tf.constant([0.5, 2.0])))
    >>> tape.gradient(total, z).numpy()
    array([[0.5, 0.5],
           [2. , 2. ]], dtype=float32)
    """

    @_compat.custom_gradient
    def scaled(z):
        def gradient(upstream):
            factors = factor()
            return upstream * tf.reshape(factors, tf.concat([tf.shape(factors), [1] * (len(z.shape) - len(factors.shape))], 0))

        return tf.identity(z), gradient

    return scaled(z)


def free_bits(kl: tf.Tensor, minimum: float) -> tf.Tensor:
    """sum_j max(minimum, mean over the batch of kl_j): no gain below `minimum` nats in any group of latents.

    Args:
        kl: `[..., J]`, the KL of J groups (a feature map of a layer, or a dimension) for each example.
        minimum: lambda, nats per group; 0.125 to 2 helps (final version, section 6.2).

    Returns:
        A scalar, in place of the mean KL in the loss.

    Source: Kingma et al. 2016, final version, appendix C.8 ("free bits").

    >>> float(free_bits(tf.constant([[0.0, 3.0], [0.2, 5.0]]), minimum=0.5))
    4.5
    """
    return tf.reduce_sum(tf.maximum(_mean_of_groups(kl), non_negative("minimum", minimum)))


def soft_free_bits_weights(
    weights: tf.Tensor, kl: tf.Tensor, minimum: float, tolerance: float = 0.05, rate: float = 0.1
) -> tf.Tensor:
    """The next weights gamma_j of the KL terms sum_j gamma_j kl_j: a soft form of `free_bits`.

    A group whose mean KL is below `minimum` gets a smaller weight, one above (1 + tolerance) minimum a larger one, by a
    factor of 1 + rate per optimizer step, within [1e-3, 1]. Unlike `free_bits`, every group has a gradient at all times.

    Args:
        weights: `[J]`, gamma.
        kl: `[..., J]`, as in `free_bits`.
        minimum, tolerance, rate: lambda, and how the weights follow it.

    Returns:
        The next weights, `[J]`.

    Source: Chen et al. 2017 ("Variational lossy autoencoder"), appendix ("soft free bits").

    >>> soft_free_bits_weights(tf.constant([0.5, 0.5, 1.0]), tf.constant([[0.1, 3.0, 3.0]]), minimum=1.0).numpy().round(3)
    array([0.455, 0.55 , 1.   ], dtype=float32)
    """
    _check(weights=weights)
    mean, minimum = _mean_of_groups(kl), non_negative("minimum", minimum)
    tolerance, rate = non_negative("tolerance", tolerance), positive("rate", rate)
    is_high = mean > (1.0 + tolerance) * minimum
    is_low = mean < minimum
    factors = tf.where(is_high, 1.0 + rate, tf.where(is_low, 1.0 / (1.0 + rate), 1.0))
    return tf.clip_by_value(weights * tf.cast(factors, weights.dtype), 1e-3, 1.0)


def _check(**values):
    for name, value in values.items():
        if not (type(value) is float or (isinstance(value, tf.Tensor | tf.Variable) and value.dtype.is_floating)):
            check_numbers(name, value)


def _mean_of_groups(kl):
    _check(kl=kl)
    kl = tf.convert_to_tensor(kl)
    if not kl.dtype.is_floating or not kl.shape.rank:
        raise ValueError(f"kl must be floats with an axis of groups, got {given(kl)}.")
    return tf.reduce_mean(kl, axis=range(len(kl.shape) - 1))
