"""Exact inverses of an autoregressive step, for any network.

Both solve y = g(y; z), where g inverts the elementwise map with the parameters read at y. The entry that comes k-th in
the input order needs only the k - 1 before it, so k evaluations of g make k entries exact.
"""

import numpy as np
import tensorflow as tf

__all__ = ["fixed_point", "sequential"]


def fixed_point(step, z, degrees):
    """Evaluates y <- step(y) for all entries at once until none changes; exact after at most D evaluations.

    It usually settles in 8 to 16 (Song et al. 2021, "Accelerating feedforward computation via parallel nonlinear equation
    solving", section 3).

    Args:
        step: y -> g(y; z), of z's shape.
        z: `[..., D]`, the start.
        degrees: [D] positions 1..D of the entries in the input order.

    Returns:
        y of z's shape.
    """
    limits = np.finfo(z.dtype.as_numpy_dtype)
    tolerance = 2.0 * limits.eps
    # Entries not yet settled may grow without bound, and an overflow would reach the settled ones: inf * 0 is nan.
    largest = float(limits.max) ** 0.4

    def bounded_step(y):
        return tf.clip_by_value(step(y), -largest, largest)

    def unsettled(y, previous):
        return tf.reduce_any(tf.abs(y - previous) > tolerance * (1.0 + tf.abs(y)))

    first = bounded_step(z)
    y, _ = tf.while_loop(
        unsettled,
        lambda y, _: (bounded_step(y), y),
        (first, z),
        maximum_iterations=len(degrees) - 1,
        shape_invariants=(first.shape, first.shape),
    )
    return y


def sequential(step, z, degrees):
    """One entry an evaluation, in the input order: the reference, D evaluations.

    Arguments and result as in `fixed_point`. Entries not yet known are kept at zero.
    """
    degrees = tf.constant(degrees, tf.int32)

    def body(position, y):
        return position + 1, tf.where(tf.equal(degrees, position), step(y), y)

    size = degrees.shape[0]
    _, y = tf.while_loop(lambda position, _: position <= size, body, (1, tf.zeros_like(z)), maximum_iterations=size)
    return y
