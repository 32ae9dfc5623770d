"""The scope in which TensorFlow traces a row of `tf.vectorized_map`."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf._compat import custom_gradient, in_vectorized_map


def test_it_is_seen_in_graphs_inside():
    seen = []

    @tf.function
    def inner(x):
        seen.append(in_vectorized_map())
        return 2.0 * x

    @tf.function
    def outer(x):
        assert not in_vectorized_map()
        return tf.vectorized_map(inner, x)

    np.testing.assert_array_equal(outer(tf.ones([3])), [2.0] * 3)
    np.testing.assert_array_equal(tf.vectorized_map(lambda x: inner(x[0]), tf.ones([3, 2])), [2.0] * 3)
    assert seen and all(seen)


def test_a_gradient_that_is_lost_is_refused():
    """A function that was traced before is copied as it is."""
    cube = tf.function(custom_gradient(lambda x: (x**3, lambda upstream: upstream * 7.0)))
    x = tf.constant([1.0, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = cube(x[0])
    np.testing.assert_array_equal(tape.gradient(y, x), [7.0, 0.0])
    np.testing.assert_array_equal(tf.vectorized_map(cube, x), [1.0, 8.0])
    with pytest.raises(LookupError, match="vectorized_map loses the gradient"), tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.vectorized_map(cube, x)
        tape.gradient(y, x)
