"""The iterative inverses on plain functions: `fixed_point.iterate` and `sequential.iterate`."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf.bijectors.inverses import fixed_point, sequential

SIZE = 12
# Reads the entry before.
SHIFT = np.eye(SIZE, k=1, dtype=np.float32)


def settle(step, z, degrees):
    return fixed_point.iterate(step, z, degrees, 1e15)


either = pytest.mark.parametrize("iterate", [settle, sequential.iterate])


def cubic(z):
    """y_i = z_i + y_{i-1}^3, whose iteration grows doubly exponentially before it settles."""
    return lambda y: z + tf.matmul(y, SHIFT) ** 3


@either
def test_unsettled_entries_may_overflow(iterate):
    z = np.zeros([1, SIZE], np.float32)
    z[0, :2] = 2.0, -8.0
    plain = tf.constant(z)
    for _ in range(SIZE):
        plain = cubic(z)(plain)
    assert np.isnan(plain).any()
    expected = np.zeros([1, SIZE], np.float32)
    expected[0, 0] = 2.0
    np.testing.assert_array_equal(iterate(cubic(z), tf.constant(z), np.arange(1, SIZE + 1)), expected)


def test_fixed_point_stops_when_settled():
    calls = []
    z = tf.ones([2, 100])

    def step(y):
        calls.append(1)
        return z + 0.01 * tf.matmul(y, np.eye(100, k=1, dtype=np.float32))

    settle(step, z, np.arange(1, 101))
    assert len(calls) < 10


@either
def test_one_entry(iterate):
    np.testing.assert_array_equal(iterate(lambda y: tf.ones_like(y), tf.zeros([3, 1]), np.array([1])), np.ones([3, 1]))


def test_entries_waiting_at_the_bound_are_not_taken_for_settled():
    """y_i = z_i - 100 y_{i-1}, solved by y = 1, through iterates beyond a bound of 50."""
    z = np.full([1, SIZE], 101.0, np.float32)
    z[0, 0] = 1.0
    y = fixed_point.iterate(lambda y: z - 100.0 * tf.matmul(y, SHIFT), tf.constant(z), np.arange(1, SIZE + 1), 50.0)
    np.testing.assert_allclose(y, np.ones([1, SIZE]))


def test_nan_stays_in_its_row():
    z = tf.constant([[1.0, np.nan, 1.0], [1.0, 2.0, 3.0]])
    y = settle(lambda y: z + tf.pad(y[:, :-1], [[0, 0], [1, 0]]), z, np.arange(1, 4)).numpy()
    assert np.isnan(y[0]).any()
    np.testing.assert_array_equal(y[1], [1.0, 3.0, 6.0])
