"""The bounds of every scale in the package: from an unconstrained network output to a positive scale."""

import math

import tensorflow as tf

__all__ = ["bounded_log_scale", "softplus_scale"]

LOG_SCALE_BOUND = 4.0
SMALLEST_SCALE = 1e-5


def bounded_log_scale(unconstrained):
    """log_scale = b tanh(u / b) with b = 4: the identity near 0, and scales within [0.018, 55].

    An unbounded log-scale overflows in deep chains before training has shaped it.

    >>> bounded_log_scale(tf.constant([0.0, 1e6])).numpy()
    array([0., 4.], dtype=float32)
    """
    return LOG_SCALE_BOUND * tf.tanh(unconstrained / LOG_SCALE_BOUND)


def softplus_scale(unconstrained):
    """scale = softplus(u + log(e - 1)) + 1e-5: positive, linear for large u, and 1 at u = 0.

    >>> bool(abs(softplus_scale(tf.constant(0.0)) - 1.0) < 1e-4)
    True
    """
    return tf.math.softplus(unconstrained + math.log(math.e - 1.0)) + SMALLEST_SCALE
