"""Exact inverses of an autoregressive step, for any network.

Both solve y = g(y; z), where g inverts the elementwise map with the parameters read at y. The entry that comes k-th in
the input order needs only the k - 1 before it, so k evaluations of g make k entries exact.
"""

import numpy as np
import tensorflow as tf

__all__ = ["fixed_point", "sequential"]


def fixed_point(step, z, degrees, largest):
    """Evaluates y <- step(y) for all entries at once until none changes; exact after at most D evaluations.

    It usually settles in 8 to 16 (Song et al. 2021, "Accelerating feedforward computation via parallel nonlinear equation
    solving", section 3). Gradients are those of the solution, by the implicit function theorem, whatever the number of
    evaluations: with J = dg/dy, the loop u <- v + J'u turns the gradient v with respect to y into that with respect to g.

    Args:
        step: y -> g(y; z), of z's shape.
        z: `[..., D]`, the start.
        degrees: [D] positions 1..D of the entries in the input order.
        largest: bound of the magnitude of entries not yet settled: they may grow until they overflow, and an overflow would
            reach the settled entries through a mask (inf * 0 is nan).

    Returns:
        y of z's shape.
    """
    degrees = np.asarray(degrees)
    size = len(degrees)

    def update(count, y, _):
        new = step(y)
        bounded = tf.where(degrees <= count + 1, new, tf.clip_by_value(new, -largest, largest))
        # Compared before it is bounded: at the bound an entry is not settled.
        return count + 1, bounded, _differ(new, y)

    start = tf.stop_gradient(z)
    _, y, _ = tf.while_loop(
        lambda count, y, unsettled: unsettled,
        update,
        (0, start, True),
        maximum_iterations=size,
        shape_invariants=(tf.TensorShape([]), start.shape, tf.TensorShape([])),
    )
    y = tf.stop_gradient(y)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(y)
        image = step(y)

    @tf.custom_gradient
    def solution(value):
        def gradient(upstream):
            def accumulate(u, _):
                new = upstream + tape.gradient(image, y, output_gradients=u, unconnected_gradients="zero")
                return new, _differ(new, u)

            u, _ = tf.while_loop(
                lambda u, unsettled: unsettled,
                accumulate,
                (upstream, True),
                maximum_iterations=size,
                shape_invariants=(upstream.shape, tf.TensorShape([])),
            )
            return u

        return tf.identity(value), gradient

    return solution(image)


def sequential(step, z, degrees, largest):
    """One entry an evaluation, in the input order: the reference, D evaluations.

    Arguments and result as in `fixed_point`. Entries not yet known are kept at zero, so none needs a bound.
    """
    del largest
    degrees = tf.constant(degrees, tf.int32)

    def body(position, y):
        return position + 1, tf.where(tf.equal(degrees, position), step(y), y)

    size = degrees.shape[0]
    _, y = tf.while_loop(lambda position, _: position <= size, body, (1, tf.zeros_like(z)), maximum_iterations=size)
    return y


def _differ(new, old):
    """Whether any entry differs by more than rounding."""
    tolerance = 2.0 * np.finfo(new.dtype.as_numpy_dtype).eps
    return tf.reduce_any(tf.abs(new - old) > tolerance * (1.0 + tf.abs(new)))
