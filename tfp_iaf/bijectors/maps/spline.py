"""The rational-quadratic spline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfp_iaf import scales
from tfp_iaf._arguments import integer, positive
from tfp_iaf.bijectors.maps.base import ElementwiseMap

__all__ = ["Spline"]


@keras.saving.register_keras_serializable("tfp_iaf")
class Spline(ElementwiseMap):
    """The monotone rational-quadratic spline on [-R, R] with K bins, and the identity outside: P = 3 K - 1.

    In the bin of y, from (y_0, z_0) to (y_1, z_1), with slopes d_0 and d_1 at its knots and s = (z_1 - z_0) / (y_1 - y_0):

    ```none
    forward:  x = (y - y_0) / (y_1 - y_0)
              e = s (x^2 + (1 - x)^2) + (d_0 + d_1) x (1 - x)
              z = z_0 + (z_1 - z_0) (s x^2 + d_0 x (1 - x)) / e
              log df/dy = log((s / e)^2 (d_1 x^2 + 2 s x (1 - x) + d_0 (1 - x)^2))
    inverse:  t = (z - z_0) / (z_1 - z_0),   g = d_0 (1 - t) - d_1 t,   r = sqrt(g^2 + 4 s^2 t (1 - t))
              x = 2 s t / (g + 2 s t + r) = (r - g - 2 s t) / (2 (s - g - 2 s t))
              log df/dy = log(s r / e)
    ```

    The inverse takes the root of a sum of squares, and of the two forms of x the one that subtracts no numbers of like size.
    The usual forms do neither: in float32 they are wrong, or NaN, where the slope at a knot is a thousand times the mean slope
    s beside it, or a thousandth.

    Entries beyond R are not transformed, so the base must put its mass inside: standardize the target, learn the base's scale,
    or raise R. Tails beyond R are those of the base.

    The first 2 K parameters are the logits of the bins' widths and heights, the others the K - 1 slopes at the inner knots
    before `scales.softplus_slope`. A bin keeps at least 1/100 of an even share. Parameters of 0 give the identity.

    Args:
        num_bins: K, at least 2.
        half_range: R, positive.

    Raises:
        ValueError: for arguments out of range.

    Source: Durkan et al. 2019 ("Neural spline flows"), section 3.1 and appendix A.

    >>> Spline(num_bins=4).params
    11
    """

    def __init__(self, num_bins: int = 8, half_range: float = 5.0) -> None:
        self.num_bins = integer("num_bins", num_bins, at_least=2)
        self.half_range = positive("half_range", half_range)
        self.params = 3 * self.num_bins - 1

    def __eq__(self, other: object) -> bool:
        return type(other) is Spline and other.get_config() == self.get_config()

    def __hash__(self) -> int:
        return hash((self.num_bins, self.half_range))

    def get_config(self) -> dict[str, Any]:
        return {"num_bins": self.num_bins, "half_range": self.half_range}

    def forward(self, y: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._inside(_forward, y, parameters)

    def inverse(self, z: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._inside(_inverse, z, parameters)

    def _inside(self, direction: Callable, argument: tf.Tensor, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # In units of R.
        value, log_derivative = direction(tf.clip_by_value(argument / self.half_range, -1.0, 1.0), *self._knots(parameters))
        is_inside = tf.abs(argument) < self.half_range
        return tf.where(is_inside, self.half_range * value, argument), tf.where(is_inside, log_derivative, 0.0)

    def _knots(self, parameters):
        """(y, z, slopes) of the knots, `[..., K + 1]` each, from -1 to 1."""
        bins = self.num_bins
        widths, heights, slopes = tf.split(parameters, [bins, bins, bins - 1], axis=-1)
        one = tf.ones_like(parameters[..., :1])

        def knots(logits):
            ends = tf.cumsum(0.99 * tf.nn.softmax(logits) + 0.01 / bins, axis=-1)
            # All share the rounding of the sum: the last of many bins would be too small to bear it.
            return tf.concat([-one, 2.0 * ends[..., :-1] / ends[..., -1:] - 1.0, one], axis=-1)

        return knots(widths), knots(heights), tf.concat([one, scales.softplus_slope(slopes), one], axis=-1)


def _forward(y, y_knots, z_knots, slopes):
    (y_0, y_1), (z_0, z_1), (d_0, d_1) = _bin(y, y_knots, y_knots, z_knots, slopes)
    s = (z_1 - z_0) / (y_1 - y_0)
    x, rest = (y - y_0) / (y_1 - y_0), (y_1 - y) / (y_1 - y_0)
    e = _denominator(x, rest, s, d_0, d_1)
    z = z_0 + (z_1 - z_0) * (s * x * x + d_0 * x * rest) / e
    return z, 2.0 * tf.math.log(s / e) + tf.math.log(d_1 * x * x + 2.0 * s * x * rest + d_0 * rest * rest)


def _inverse(z, y_knots, z_knots, slopes):
    (z_0, z_1), (y_0, y_1), (d_0, d_1) = _bin(z, z_knots, z_knots, y_knots, slopes)
    s = (z_1 - z_0) / (y_1 - y_0)
    # Not 1 - t, which would lose what is left near the upper knot.
    t, rest = (z - z_0) / (z_1 - z_0), (z_1 - z) / (z_1 - z_0)
    g = d_0 * rest - d_1 * t
    r = tf.sqrt(g * g + 4.0 * s * s * t * rest)
    b = g + 2.0 * s * t
    is_positive, one = b >= 0.0, tf.ones_like(b)
    of_sum = 2.0 * s * t / tf.where(is_positive, b + r, one)
    of_difference = (r - b) / tf.where(is_positive, one, 2.0 * (s - b))
    x = tf.where(is_positive, of_sum, of_difference)
    return y_0 + (y_1 - y_0) * x, tf.math.log(s * r / _denominator(x, 1.0 - x, s, d_0, d_1))


def _denominator(x, rest, s, d_0, d_1):
    return s * (x * x + rest * rest) + (d_0 + d_1) * x * rest


def _bin(value, edges, *knots):
    """Of each quantity of the knots, its values at the lower and the upper end of the bin that holds the value."""
    is_above = edges[..., 1:-1] <= value[..., tf.newaxis]
    all_true = tf.ones_like(is_above[..., :1])
    # True in one bin. A sum instead of a gather, which is slow on accelerators and has no gradient in some runtimes.
    is_here = tf.concat([all_true, is_above], axis=-1) & tf.concat([~is_above, all_true], axis=-1)

    def here(values):
        return tf.reduce_sum(tf.where(is_here, values, 0.0), axis=-1)

    return [(here(each[..., :-1]), here(each[..., 1:])) for each in knots]
