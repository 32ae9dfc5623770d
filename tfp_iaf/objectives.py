"""Objectives: pure functions of log-probabilities, in nats, higher is better."""

import tensorflow as tf

__all__ = ["elbo", "importance_weighted_bound"]


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
