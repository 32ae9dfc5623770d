"""The exact inverse of a step with any network, by iteration.

The entry that comes k-th in the input order needs only the k - 1 before it, so k evaluations of g make k entries exact.
"""

import numpy as np
import tensorflow as tf

__all__ = ["adjoint", "evaluate", "iterate", "solve"]


def evaluate(equation, y):
    """(parameters at y, nothing further)."""
    return equation.parameters_at(y), ()


def solve(equation):
    """y with y = g(y), and log|det dz/dy|."""
    # Well inside the range of the dtype the network computes in.
    largest = float(tf.as_dtype(equation.network.compute_dtype).max) ** 0.5
    y = iterate(lambda y: equation.image(equation.parameters_at(y))[0], equation.z, equation.network.degrees, largest)
    # y is settled: one more evaluation leaves it as it is, and gives the log_det.
    return equation.image(equation.parameters_at(y))


def iterate(step, z, degrees, largest):
    """Evaluates y <- step(y) for all entries at once until none changes; exact after at most D evaluations.

    It usually settles in 8 to 16 (Song et al. 2021, "Accelerating feedforward computation via parallel nonlinear equation
    solving", section 3).

    Args:
        step: y -> g(y), of z's shape.
        z: `[..., D]`, the start.
        degrees: positions 1..D of the entries in the input order, of the event's shape.
        largest: bound of the magnitude of entries not yet settled: they may grow until they overflow, and an overflow would
            reach the settled entries through a mask (inf * 0 is nan).

    Returns:
        y of z's shape.
    """
    degrees = np.asarray(degrees)

    def update(count, y, _):
        new = step(y)
        bounded = tf.where(degrees <= count + 1, new, tf.clip_by_value(new, -largest, largest))
        # Compared before it is bounded: at the bound an entry is not settled.
        return count + 1, bounded, _differ(new, y)

    _, y, _ = tf.while_loop(
        lambda count, y, unsettled: unsettled,
        update,
        (0, z, True),
        maximum_iterations=degrees.size,
        shape_invariants=(tf.TensorShape([]), z.shape, tf.TensorShape([])),
    )
    return y


def adjoint(equation, linearization, upstream):
    """u with u = upstream + (dg/dy)' u, for `upstream` of y's shape: the same iteration in the transposed system."""

    def update(u, _):
        new = upstream + linearization.pull_back(u)
        return new, _differ(new, u)

    u, _ = tf.while_loop(
        lambda u, unsettled: unsettled,
        update,
        (upstream, True),
        maximum_iterations=equation.network.degrees.size,
        shape_invariants=(upstream.shape, tf.TensorShape([])),
    )
    return u


def _differ(new, old):
    """Whether any entry differs by more than rounding."""
    tolerance = 2.0 * np.finfo(new.dtype.as_numpy_dtype).eps
    return tf.reduce_any(tf.abs(new - old) > tolerance * (1.0 + tf.abs(new)))
