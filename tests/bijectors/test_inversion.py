import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf.bijectors import inversion

SIZE = 12
# Reads the entry before.
SHIFT = np.eye(SIZE, k=1, dtype=np.float32)


def cubic(z):
    """y_i = z_i + y_{i-1}^3, whose iteration grows doubly exponentially before it settles."""
    return lambda y: z + tf.matmul(y, SHIFT) ** 3


@pytest.mark.parametrize("invert", [inversion.fixed_point, inversion.sequential])
def test_unsettled_entries_may_overflow(invert):
    z = np.zeros([1, SIZE], np.float32)
    z[0, :2] = 2.0, -8.0
    plain = tf.constant(z)
    for _ in range(SIZE):
        plain = cubic(z)(plain)
    assert np.isnan(plain).any()
    expected = np.zeros([1, SIZE], np.float32)
    expected[0, 0] = 2.0
    np.testing.assert_array_equal(invert(cubic(z), tf.constant(z), np.arange(1, SIZE + 1), 1e15), expected)


def test_fixed_point_stops_when_settled():
    calls = []
    z = tf.ones([2, 100])

    def step(y):
        calls.append(1)
        return z + 0.01 * tf.matmul(y, np.eye(100, k=1, dtype=np.float32))

    inversion.fixed_point(step, z, np.arange(1, 101), 1e15)
    assert len(calls) < 10


@pytest.mark.parametrize("invert", [inversion.fixed_point, inversion.sequential])
def test_one_entry(invert):
    np.testing.assert_array_equal(invert(lambda y: tf.ones_like(y), tf.zeros([3, 1]), np.array([1]), 1e15), np.ones([3, 1]))


def test_entries_waiting_at_the_bound_are_not_taken_for_settled():
    """y_i = z_i - 100 y_{i-1}, solved by y = 1, through iterates beyond a bound of 50."""
    z = np.full([1, SIZE], 101.0, np.float32)
    z[0, 0] = 1.0
    y = inversion.fixed_point(lambda y: z - 100.0 * tf.matmul(y, SHIFT), tf.constant(z), np.arange(1, SIZE + 1), 50.0)
    np.testing.assert_allclose(y, np.ones([1, SIZE]))


def test_gradients_do_not_depend_on_where_the_iteration_starts():
    """At z = 0 the start is the solution already, and the loop has nothing to differentiate."""
    weights = tf.constant(np.triu(np.random.default_rng(0).normal(size=[6, 6]), 1))
    z = tf.zeros([1, 6], tf.float64)
    gradients = []
    for invert in (inversion.fixed_point, inversion.sequential):
        with tf.GradientTape() as tape:
            tape.watch([z, weights])
            y = invert(lambda y: z + tf.math.sinh(tf.matmul(y, weights)), z, np.arange(1, 7), 1e15)
            loss = tf.reduce_sum(y * tf.constant(np.arange(6.0)) + y**2)
        gradients.append(tape.gradient(loss, z))
    np.testing.assert_allclose(*gradients, atol=1e-12)
    assert np.abs(gradients[0] - np.arange(6.0)).max() > 1.0


def test_nan_stays_in_its_row():
    z = tf.constant([[1.0, np.nan, 1.0], [1.0, 2.0, 3.0]])
    y = inversion.fixed_point(lambda y: z + tf.pad(y[:, :-1], [[0, 0], [1, 0]]), z, np.arange(1, 4), 1e15).numpy()
    assert np.isnan(y[0]).any()
    np.testing.assert_array_equal(y[1], [1.0, 3.0, 6.0])
