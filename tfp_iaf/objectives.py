"""Objectives: pure functions of log-probabilities, in nats, higher is better."""

import tensorflow as tf

__all__ = ["elbo", "free_bits", "importance_weighted_bound", "soft_free_bits_weights"]


def elbo(reconstruction, kl, kl_weight=1.0):
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
    return reconstruction - kl_weight * kl


def importance_weighted_bound(log_weights, axis=0):
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
    num_samples = tf.cast(tf.shape(log_weights)[axis], log_weights.dtype)
    return tf.reduce_logsumexp(log_weights, axis=axis) - tf.math.log(num_samples)


def free_bits(kl, minimum):
    """sum_j max(minimum, mean over the batch of kl_j): no gain below `minimum` nats in any group of latents.

    Args:
        kl: `[..., J]`, the KL of J groups (a feature map of a layer, or a dimension) for each example.
        minimum: lambda, nats a group; 0.125 to 2 helps (final version, section 6.2).

    Returns:
        A scalar, in place of the mean KL in the loss.

    Source: Kingma et al. 2016, final version, appendix C.8 ("free bits").

    >>> float(free_bits(tf.constant([[0.0, 3.0], [0.2, 5.0]]), minimum=0.5))
    4.5
    """
    return tf.reduce_sum(tf.maximum(_mean_of_groups(kl), minimum))


def soft_free_bits_weights(weights, kl, minimum, tolerance=0.05, rate=0.1):
    """The next weights gamma_j of the KL terms sum_j gamma_j kl_j: a soft form of `free_bits`.

    A group whose mean KL is below `minimum` gets a smaller weight, one above (1 + tolerance) minimum a larger one, by a
    factor of 1 + rate a step, within [1e-3, 1]. Unlike `free_bits`, every group has a gradient at all times.

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
    mean = _mean_of_groups(kl)
    is_high = mean > (1.0 + tolerance) * minimum
    is_low = mean < minimum
    factors = tf.where(is_high, 1.0 + rate, tf.where(is_low, 1.0 / (1.0 + rate), 1.0))
    return tf.clip_by_value(weights * tf.cast(factors, weights.dtype), 1e-3, 1.0)


def _mean_of_groups(kl):
    return tf.reduce_mean(kl, axis=range(len(kl.shape) - 1))
