"""The inverse of a flow with any network, by iteration of all entries at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfp_iaf.bijectors.inverses.base import Equation
from tfp_iaf.bijectors.inverses.implicit import ImplicitInverse, Linearization

__all__ = ["FixedPoint", "row_scale", "search_scale", "settled"]


class FixedPoint(ImplicitInverse):
    """Evaluates y <- g(y) for all entries at once until none changes; exact after at most D evaluations.

    The entry that comes k-th in the input order needs only the k - 1 before it, so k evaluations of g make k entries exact.
    The iteration usually settles in 8 to 16.

    Source: Song et al. 2021, "Accelerating feedforward computation via parallel nonlinear equation solving", section 3.
    """

    def solve(self, equation: Equation) -> tuple[tf.Tensor, tf.Tensor]:
        z, degrees = equation.z, equation.network.degrees
        event_axes = range(-degrees.ndim, 0)
        scale = search_scale(z, event_axes)

        def update(count, y, _):
            new = equation.map.inverse_near(z, equation.parameters_at(y), y)
            is_settled = settled(new, y, scale, event_axes)
            # Compared before it is bounded: at the bound an entry is not settled.
            return count + 1, _bounded(new, degrees <= count + 1, equation), tf.logical_not(is_settled)

        _, y, _ = tf.while_loop(
            lambda count, y, unsettled: unsettled,
            update,
            (0, z, True),
            maximum_iterations=degrees.size,
            shape_invariants=(tf.TensorShape([]), z.shape, tf.TensorShape([])),
        )
        # y is settled: one more evaluation leaves it as it is, and gives the log_det.
        return equation.image(equation.parameters_at(y))

    def adjoint(self, equation: Equation, linearization: Linearization, by_y: tf.Tensor, by_parameters: tf.Tensor) -> tf.Tensor:
        """The same iteration in the transposed system, where the last entry is exact from the start, then the one before it."""
        degrees = equation.network.degrees
        event_axes = range(-degrees.ndim, 0)
        slopes = linearization.parameter_slopes
        upstream = by_y + linearization.pull_back(by_parameters)
        scale = row_scale(upstream, event_axes)

        def update(count, u, _):
            new = upstream + linearization.pull_back(u[..., tf.newaxis] * slopes)
            is_exact = degrees >= degrees.size - count - 1
            return count + 1, _bounded(new, is_exact, equation), tf.logical_not(settled(new, u, scale, event_axes))

        _, u, _ = tf.while_loop(
            lambda count, u, unsettled: unsettled,
            update,
            (0, upstream, True),
            maximum_iterations=degrees.size,
            shape_invariants=(tf.TensorShape([]), upstream.shape, tf.TensorShape([])),
        )
        return u


def _bounded(values, is_exact, equation):
    """The values, of which those that are not exact yet stay well inside the range of what the network computes in.

    They may grow until they overflow, and an overflow would reach the exact ones through a mask: inf * 0 is nan.
    """
    largest = float(tf.as_dtype(equation.network.compute_dtype).max) ** 0.5
    return tf.where(is_exact, values, tf.clip_by_value(values, -largest, largest))


def row_scale(values: tf.Tensor, axes: int | Sequence[int]) -> tf.Tensor:
    """The largest magnitude along these axes, which are kept: a scale per row, since another row may be tiny, huge or NaN."""
    return tf.reduce_max(tf.abs(values), axis=axes, keepdims=True)


def search_scale(z: tf.Tensor, axes: int | Sequence[int]) -> tf.Tensor:
    """The scale of a row in the search for its y: at most 1, so that one huge entry does not loosen what the others reach."""
    return tf.minimum(row_scale(z, axes), 1.0)


def settled(new: tf.Tensor, old: tf.Tensor, scale: tf.Tensor, axes: int | Sequence[int]) -> tf.Tensor:
    """Whether no entry differs by more than rounding of values of the order of `scale` or of their own.

    `axes` are those along which `scale` is the same, with one entry there.
    """
    tolerance = 2.0 * np.finfo(new.dtype.as_numpy_dtype).eps
    # The largest excess is compared, not each: that takes half the time. Where one is NaN, nothing counts as settled.
    excess = tf.abs(new - old) - tolerance * tf.abs(new)
    return tf.reduce_all(tf.reduce_max(excess, axis=axes, keepdims=True) <= tolerance * scale)
