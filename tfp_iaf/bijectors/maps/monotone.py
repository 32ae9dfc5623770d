"""The monotone map: a line with smooth steps, and its inverse by Newton's method."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import scales
from tfp_iaf._arguments import integer
from tfp_iaf.bijectors.maps.base import ElementwiseMap

__all__ = ["Monotone", "inverse_without_gradient", "value_and_slope"]

# Bisection alone would halve a bracket of 1e6 to the rounding of float64 in about 80.
MAX_ITERATIONS = 100


@keras.saving.register_keras_serializable("tfp_iaf")
class Monotone(ElementwiseMap):
    """z = d + a y + sum_k b_k (sigmoid((y - c_k) / s_k) - 1/2): a line with K smooth steps, P = 2 + 3 K.

    The affine map (b = 0) with steps that open or close gaps, so that one entry can have several modes; its tails are lines,
    and it acts on the whole line. The inverse is Newton's method within a bracket, to rounding.

    In the order of the parameters: d; log a, bounded by `scales.bounded_log_scale`; K heights b, `scales.sigmoid_height`; K
    shifts of the centres c, which start evenly on [-3, 3]; K values of log s, bounded as log a.

    Args:
        num_sigmoids: K.

    Raises:
        ValueError: for a K that is no positive integer.

    Source: a sum of sigmoids as in Huang et al. 2018 ("Neural autoregressive flows"), section 3.1, with a linear term in place
    of the logit, which saturates.

    >>> Monotone(num_sigmoids=4).params
    14
    """

    def __init__(self, num_sigmoids: int = 8) -> None:
        self.num_sigmoids = integer("num_sigmoids", num_sigmoids)
        self.params = 2 + 3 * self.num_sigmoids

    def __eq__(self, other: object) -> bool:
        return type(other) is Monotone and other.num_sigmoids == self.num_sigmoids

    def __hash__(self) -> int:
        return hash(self.num_sigmoids)

    def get_config(self) -> dict[str, Any]:
        return {"num_sigmoids": self.num_sigmoids}

    def forward(self, y: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        z, slope = value_and_slope(y, *self._constrained(parameters))
        return z, tf.math.log(slope)

    def inverse(self, z: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        constrained = self._constrained(parameters)
        y = inverse_without_gradient(z, *constrained)
        # Two steps at the solution have its first three derivatives. They leave it as it is to rounding: beside a step that is
        # narrower than the spacing of numbers, Newton's method would go far away.
        rounding = 4.0 * np.finfo(z.dtype.as_numpy_dtype).eps * (1.0 + tf.abs(y))
        for _ in range(2):
            value, slope = value_and_slope(y, *constrained)
            change = (z - value) / slope
            y = y + tf.stop_gradient(tf.clip_by_value(change, -rounding, rounding)) + (change - tf.stop_gradient(change))
        return y, tf.math.log(value_and_slope(y, *constrained)[1])

    def inverse_near(self, z: tf.Tensor, parameters: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        line, sigmoids = self._constrained(parameters)
        return inverse_without_gradient(z, line, sigmoids, start)

    def _constrained(self, parameters):
        count = self.num_sigmoids
        line, heights, centres, log_widths = tf.split(parameters, [2, count, count, count], axis=-1)
        start = tf.linspace(tf.constant(-3.0, parameters.dtype), tf.constant(3.0, parameters.dtype), count)
        return (
            (line[..., 0], tf.exp(scales.bounded_log_scale(line[..., 1]))),
            (scales.sigmoid_height(heights), centres + start, tf.exp(scales.bounded_log_scale(log_widths))),
        )


def value_and_slope(y: tf.Tensor, line: Any, sigmoids: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """(f, df/dy) of f(y) = d + a y + sum_k b_k (sigmoid((y - c_k) / s_k) - 1/2).

    Args:
        y: `[...]`.
        line: (d, a), `[...]` each, a > 0.
        sigmoids: (b, c, s), `[..., K]` each, b >= 0 and s > 0.

    >>> line, sigmoids = (tf.constant(1.0), tf.constant(2.0)), tuple(tf.constant([v]) for v in (4.0, 0.0, 1.0))
    >>> [float(part) for part in value_and_slope(tf.constant(0.0), line, sigmoids)]
    [1.0, 3.0]
    """
    (offset, slope), (heights, centres, widths) = line, sigmoids
    x = (y[..., tf.newaxis] - centres) / widths
    # sigmoid(x) sigmoid(-x) loses nothing far out, where 1 - sigmoid(x) does; tanh(x / 2) / 2 is the sigmoid minus 1/2.
    value = offset + slope * y + 0.5 * tf.reduce_sum(heights * tf.tanh(0.5 * x), axis=-1)
    return value, slope + tf.reduce_sum(heights / widths * tf.sigmoid(x) * tf.sigmoid(-x), axis=-1)


def inverse_without_gradient(z: tf.Tensor, line: Any, sigmoids: Any, start: tf.Tensor | None = None) -> tf.Tensor:
    """The y with f(y) = z, without a gradient: Newton's method within the bracket (z - d -+ sum b / 2) / a.

    A step that leaves the bracket, or is no shorter than half the step before, is replaced by bisection, so that the search
    ends whatever the sigmoids.

    Args:
        z: `[...]`.
        line, sigmoids: see `value_and_slope`.
        start: a first guess, `[...]`; None for the middle of the bracket.

    >>> line, sigmoids = (tf.constant(1.0), tf.constant(2.0)), tuple(tf.constant([v]) for v in (4.0, 0.0, 1.0))
    >>> round(float(inverse_without_gradient(value_and_slope(tf.constant(0.5), line, sigmoids)[0], line, sigmoids)), 6)
    0.5
    """
    z, line, sigmoids = tf.nest.map_structure(tf.stop_gradient, (z, line, sigmoids))
    (offset, slope), (heights, _, _) = line, sigmoids
    middle, radius = (z - offset) / slope, 0.5 * tf.reduce_sum(heights, axis=-1) / slope
    low, high = middle - radius, middle + radius
    y = middle if start is None else tf.clip_by_value(tf.stop_gradient(start), low, high)
    tolerance = 2.0 * np.finfo(z.dtype.as_numpy_dtype).eps

    def improve(y, low, high, last_step, _):
        value, derivative = value_and_slope(y, line, sigmoids)
        low, high = tf.where(value < z, y, low), tf.where(value < z, high, y)
        newton = y - (value - z) / derivative
        is_good = (newton >= low) & (newton <= high) & (tf.abs(newton - y) <= 0.5 * last_step)
        new = tf.where(is_good, newton, 0.5 * (low + high))
        step = tf.abs(new - y)
        return new, low, high, step, tf.reduce_any(step > tolerance * (1.0 + tf.abs(new)))

    start_of_loop = (y, low, high, 2.0 * (high - low) + 1.0, True)
    y, *_ = tf.while_loop(lambda *state: state[-1], improve, start_of_loop, maximum_iterations=MAX_ITERATIONS)
    return y
