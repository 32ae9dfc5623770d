"""The scalar equation behind the inverses of planar and Sylvester flows."""

import numpy as np
import tensorflow as tf

from tfp_iaf._eager import compiled_when_eager

__all__ = ["log_slope", "log_slope_gradient", "search_tanh_root", "sech_squared", "tanh_root"]

# Quadratic convergence takes 4 to 10; only slopes near 0 at the origin need more.
_MAX_ITERATIONS = 60


def sech_squared(a):
    """The derivative of tanh, 1 - tanh^2, without its cancellation for large a.

    >>> bool(sech_squared(tf.constant(0.0)) == 1.0), bool(sech_squared(tf.constant(20.0)) > 0.0)
    (True, True)
    """
    return 4.0 * tf.sigmoid(2.0 * a) * tf.sigmoid(-2.0 * a)


def log_slope(a, slope):
    """log g'(a) of g(a) = a + (slope - 1) tanh(a), as log(tanh^2 a + slope sech^2 a): no term is negative.

    >>> log_slope(tf.constant(0.0), tf.constant(1.0)).numpy().item()
    0.0
    """
    return tf.math.log(tf.square(tf.tanh(a)) + slope * sech_squared(a))


def log_slope_gradient(a, slope):
    """The derivative of `log_slope` with respect to a.

    >>> log_slope_gradient(tf.constant([0.0, 1.0]), tf.constant(1.0)).numpy().tolist()
    [0.0, 0.0]
    """
    tanh, sech = tf.tanh(a), sech_squared(a)
    return 2.0 * (1.0 - slope) * tanh * sech / (tf.square(tanh) + slope * sech)


def tanh_root(t, slope):
    """The a with g(a) = a + (slope - 1) tanh(a) = t, for slope = g'(0) > 0.

    ```none
    a >= max(t - (slope - 1), t / slope)  for slope >= 1,  a <= min(of the same)  for slope < 1,      t >= 0
    ```

    Newton's method starts at this bound, which follows from tanh a <= min(1, a), and cannot overshoot, since g is concave on
    a >= 0 for slope >= 1 and convex for slope < 1. Negative t are mirrored: g is odd. The search is not differentiated: two
    more Newton steps from its result give derivatives, right up to the third order.

    Args:
        t, slope: tensors that broadcast, of one floating dtype.

    >>> a = tanh_root(tf.constant([1.0, -5.0]), tf.constant([3.0, 0.1]))
    >>> (a + tf.constant([2.0, -0.9]) * tf.tanh(a)).numpy().round(4)
    array([ 1., -5.], dtype=float32)
    """
    t, slope = t + tf.zeros_like(slope), slope + tf.zeros_like(t)
    a = search_tanh_root(tf.stop_gradient(t), tf.stop_gradient(slope))
    a = tf.stop_gradient(a)
    for _ in range(2):
        a -= _step(a, t, slope)
    return a


def _step(a, t, slope):
    tanh = tf.tanh(a)
    return (a + (slope - 1.0) * tanh - t) / (tf.square(tanh) + slope * sech_squared(a))


@compiled_when_eager
def search_tanh_root(t, slope):
    """As `tanh_root`, but not to be differentiated; t and slope have one shape.

    >>> search_tanh_root(tf.constant(1.5), tf.constant(1.0)).numpy().item()
    1.5
    """
    slope = tf.maximum(slope, np.finfo(slope.dtype.as_numpy_dtype).tiny)
    sign, t, is_concave = tf.where(t < 0.0, -tf.ones_like(t), tf.ones_like(t)), tf.abs(t), slope >= 1.0
    bounds = t - (slope - 1.0), t / slope
    start = tf.where(is_concave, tf.maximum(*bounds), tf.minimum(*bounds))

    def move(a, _):
        new = a - _step(a, t, slope)
        moves = tf.where(is_concave, new > a, new < a)
        return tf.where(moves, new, a), tf.reduce_any(moves)

    invariants = start.shape, tf.TensorShape([])
    a, _ = tf.while_loop(
        lambda _, moves: moves, move, (start, tf.constant(True)), invariants, maximum_iterations=_MAX_ITERATIONS
    )
    return sign * a
