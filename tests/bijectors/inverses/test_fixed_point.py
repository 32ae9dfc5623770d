"""The iteration on plain functions in place of a network."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf.bijectors.inverses import FixedPoint, Sequential

SIZE = 12
# Reads the entry before.
SHIFT = np.eye(SIZE, k=1, dtype=np.float32)


class Plain:
    """Stands in for an `Equation`: y = update(y)."""

    def __init__(self, z, update, size=SIZE, compute_dtype="float32"):
        self.z = tf.constant(z)
        self.network = types.SimpleNamespace(degrees=np.arange(1, size + 1), compute_dtype=compute_dtype)
        self.map = types.SimpleNamespace(
            inverse=lambda z, y: (update(y), tf.zeros_like(z)), inverse_near=lambda z, y, start: update(y)
        )
        self.num_evaluations = tf.Variable(0)

    def parameters_at(self, y):
        self.num_evaluations.assign_add(1)
        return y

    def image(self, y):
        return self.map.inverse(self.z, y)


either = pytest.mark.parametrize("solve", [FixedPoint().solve, Sequential()], ids=["fixed point", "sequential"])


@either
def test_unsettled_entries_may_overflow(solve):
    """y_i = z_i + y_{i-1}^3, whose iteration grows doubly exponentially before it settles."""
    z = np.zeros([1, SIZE], np.float32)
    z[0, :2] = 2.0, -8.0

    def update(y):
        return z + tf.matmul(y, SHIFT) ** 3

    plain = tf.constant(z)
    for _ in range(SIZE):
        plain = update(plain)
    assert np.isnan(plain).any()
    expected = np.zeros([1, SIZE], np.float32)
    expected[0, 0] = 2.0
    np.testing.assert_array_equal(solve(Plain(z, update))[0], expected)


def test_it_stops_when_settled():
    z = tf.ones([2, 100])
    equation = Plain(z, lambda y: z + 0.01 * tf.matmul(y, np.eye(100, k=1, dtype=np.float32)), size=100)
    FixedPoint().solve(equation)
    assert equation.num_evaluations.numpy() < 10


@either
def test_one_entry(solve):
    y, _ = solve(Plain(np.zeros([3, 1], np.float32), tf.ones_like, size=1))
    np.testing.assert_array_equal(y, np.ones([3, 1]))


def test_entries_waiting_at_the_bound_are_not_taken_for_settled():
    """y_i = z_i - 1e9 y_{i-1}, solved by y = 1, through iterates beyond the bound."""
    z = np.full([1, SIZE], 1e9 + 1.0, np.float64)
    z[0, 0] = 1.0
    y, _ = FixedPoint().solve(Plain(z, lambda y: z - 1e9 * tf.matmul(y, SHIFT.astype(np.float64))))
    np.testing.assert_allclose(y, np.ones([1, SIZE]), rtol=1e-6)


def test_nan_stays_in_its_row():
    z = np.float32([[1.0, np.nan, 1.0], [1.0, 2.0, 3.0]])
    y, _ = FixedPoint().solve(Plain(z, lambda y: z + tf.pad(y[:, :-1], [[0, 0], [1, 0]]), size=3))
    assert np.isnan(y[0]).any()
    np.testing.assert_array_equal(y[1], [1.0, 3.0, 6.0])
