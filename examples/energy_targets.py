"""The four energies on the plane of Rezende and Mohamed (2015), table 1, as densities that normalize.

p(z) = exp(-U(z) - wall(z)) / Z: the wall is 0 within [-4, 4]^2, and quadratic outside. Without it only U1 has a finite Z.
"""

import math

import numpy as np
import tensorflow as tf

HALF_WIDTH = 4.0
WALL_WIDTH = 0.25


def _mixture(*deviations):
    """-log of the sum of exp(-d^2 / 2)."""
    return -tf.reduce_logsumexp([-0.5 * tf.square(deviation) for deviation in deviations], axis=0)


def _sine(z):
    return tf.sin(0.5 * math.pi * z[..., 0])


def _ring(z):
    radius = tf.norm(z, axis=-1)
    return 0.5 * tf.square((radius - 2.0) / 0.4) + _mixture((z[..., 0] - 2.0) / 0.6, (z[..., 0] + 2.0) / 0.6)


def _wave(z):
    return 0.5 * tf.square((z[..., 1] - _sine(z)) / 0.4)


def _wave_with_a_bump(z):
    bump = 3.0 * tf.exp(-0.5 * tf.square((z[..., 0] - 1.0) / 0.6))
    above = z[..., 1] - _sine(z)
    return _mixture(above / 0.35, (above + bump) / 0.35)


def _wave_with_a_branch(z):
    branch = 3.0 * tf.sigmoid((z[..., 0] - 1.0) / 0.3)
    above = z[..., 1] - _sine(z)
    return _mixture(above / 0.4, (above + branch) / 0.35)


ENERGIES = {"U1": _ring, "U2": _wave, "U3": _wave_with_a_bump, "U4": _wave_with_a_branch}


def wall(z):
    """0 within [-4, 4]^2, and quadratic in the distance outside."""
    outside = tf.nn.relu(tf.abs(z) - HALF_WIDTH)
    return 0.5 * tf.reduce_sum(tf.square(outside / WALL_WIDTH), axis=-1)


def log_target(energy):
    """The function -U(z), `[..., 2]` -> `[...]`, with the wall."""
    return lambda z: -ENERGIES[energy](z) - wall(z)


def log_normalizer(log_density, half_width=HALF_WIDTH + 10.0 * WALL_WIDTH, num_points=1301):
    """log Z of an unnormalized log-density on [-half_width, half_width]^2, by the trapezoidal rule in float64."""
    axis = tf.linspace(tf.constant(-half_width, tf.float64), half_width, num_points)
    weights = np.full(num_points, 2.0 * half_width / (num_points - 1))
    weights[[0, -1]] *= 0.5
    grid = tf.stack(tf.meshgrid(axis, axis), axis=-1)
    return float(tf.reduce_logsumexp(log_density(grid) + np.log(np.outer(weights, weights))))
