"""Scales of flows and bases: from an unconstrained network output to a positive, bounded scale."""

from __future__ import annotations

import math

import tensorflow as tf

__all__ = ["bounded_gate", "bounded_log_scale", "bounded_rows", "sigmoid_height", "softplus_scale", "softplus_slope"]

LOG_SCALE_BOUND = 4.0
# sigmoid(2) = 0.88: a gate that starts open keeps an untrained flow near the identity (Kingma et al. 2016, section 4.1).
GATE_BIAS = 2.0
GATE_BOUND = 6.0
SMALLEST_SCALE = 1e-5
SMALLEST_SLOPE = 1e-3
# softplus(log(e - 1)) = 1.
SOFTPLUS_OFFSET = math.log(math.e - 1.0)
# softplus(-2.5) = 0.08: low enough that an untrained sum of sigmoids is near the identity, with a slope to learn from.
HEIGHT_BIAS = -2.5


def bounded_log_scale(unconstrained: tf.Tensor, bound: float = LOG_SCALE_BOUND) -> tf.Tensor:
    """log_scale = b tanh(u / b), with b = 4 unless given: the identity near 0, and scales within [0.018, 55].

    An unbounded log-scale overflows in deep chains before training has shaped it.

    >>> bounded_log_scale(tf.constant([0.0, 1e6])).numpy()
    array([0., 4.], dtype=float32)
    """
    return bound * tf.tanh(unconstrained / bound)


def bounded_gate(unconstrained: tf.Tensor) -> tf.Tensor:
    """The logit of a gate, 2 + b tanh(u / b) with b = 6: gates start at 0.88 and stay within [0.018, 0.9997].

    A gate that closes for good would make the inverse overflow.

    >>> tf.sigmoid(bounded_gate(tf.constant([0.0]))).numpy().round(2)
    array([0.88], dtype=float32)
    """
    return GATE_BIAS + GATE_BOUND * tf.tanh(unconstrained / GATE_BOUND)


def softplus_scale(unconstrained: tf.Tensor) -> tf.Tensor:
    """scale = softplus(u + log(e - 1)) + 1e-5: positive, linear for large u, and 1 at u = 0.

    >>> bool(abs(softplus_scale(tf.constant(0.0)) - 1.0) < 1e-4)
    True
    """
    return tf.math.softplus(unconstrained + SOFTPLUS_OFFSET) + SMALLEST_SCALE


def softplus_slope(unconstrained: tf.Tensor) -> tf.Tensor:
    """slope = 1e-3 + (1 - 1e-3) softplus(u + log(e - 1)): at least 1e-3, linear for large u, and 1 at u = 0.

    Where a map is flatter, rounding of its value moves the argument, and so the density of a given z, too far.

    >>> softplus_slope(tf.constant([-100.0, 0.0])).numpy().round(3)
    array([0.001, 1.   ], dtype=float32)
    """
    return SMALLEST_SLOPE + (1.0 - SMALLEST_SLOPE) * tf.math.softplus(unconstrained + SOFTPLUS_OFFSET)


def bounded_rows(rows: tf.Tensor, bound: float) -> tf.Tensor:
    """row * b / sqrt(b^2 + |row|^2): rows of a norm below b, nearly unchanged where they are short.

    >>> bounded_rows(tf.constant([[0.0, 0.01], [30.0, 40.0]]), bound=1.5).numpy().round(2)
    array([[0.  , 0.01],
           [0.9 , 1.2 ]], dtype=float32)
    """
    # In units in which no square overflows.
    unit = tf.stop_gradient(tf.maximum(tf.reduce_max(tf.abs(rows), axis=-1, keepdims=True), bound))
    squared_norms = tf.reduce_sum(tf.square(rows / unit), axis=-1, keepdims=True)
    return rows / unit * bound * tf.math.rsqrt(tf.square(bound / unit) + squared_norms)


def sigmoid_height(unconstrained: tf.Tensor) -> tf.Tensor:
    """height = softplus(u - 2.5): at least 0, linear for large u, and 0.08 at u = 0.

    >>> sigmoid_height(tf.constant([-100.0, 0.0])).numpy().round(2)
    array([0.  , 0.08], dtype=float32)
    """
    return tf.math.softplus(unconstrained + HEIGHT_BIAS)
