import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf.bijectors._tanh_root import log_slope, sech_squared, tanh_root


def bisected(t, slope):
    """The root by bisection, in plain Python."""
    low, high = -abs(t) - abs(slope - 1.0), abs(t) + abs(slope - 1.0)
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if middle + (slope - 1.0) * np.tanh(middle) < t else (low, middle)
    return middle


T = np.array([0.0, 1e-8, 0.3, -1.0, 2.0, -7.0, 50.0, 1e4, -1e8])
SLOPES = np.array([1e-6, 1e-3, 0.3, 1.0, 1.5, 10.0, 1e3, 1e6])
GRID = tuple(part.ravel() for part in np.meshgrid(T, SLOPES))


@pytest.mark.parametrize("mode", ["eager", "graph", "XLA"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 3e-5)])
def test_the_root_is_that_of_bisection(mode, dtype, tolerance):
    function = tanh_root if mode == "eager" else tf.function(tanh_root, jit_compile=mode == "XLA", autograph=False)
    t, slope = (tf.constant(part, dtype) for part in GRID)
    a = function(t, slope).numpy().astype(np.float64)
    assert np.isfinite(a).all()
    t, slope = (part.numpy().astype(np.float64) for part in (t, slope))
    # What the root is worth: the residual, relative to the sizes that are subtracted.
    residual = a + (slope - 1.0) * np.tanh(a) - t
    assert (np.abs(residual) <= tolerance * (np.abs(t) + np.abs(slope - 1.0) * np.abs(np.tanh(a)))).all()
    if dtype == np.float64:
        np.testing.assert_allclose(a, [bisected(*pair) for pair in zip(t, slope)], rtol=1e-6, atol=1e-7)


def test_a_bad_entry_spoils_no_other():
    t = tf.constant([0.5, np.nan, np.inf, 1e300, -0.5], tf.float64)
    root = tanh_root(t, tf.constant(0.4, tf.float64))
    np.testing.assert_allclose(root.numpy()[[0, 4]], tanh_root(t[::4], tf.constant(0.4, tf.float64)))
    assert np.isnan(root[1])


def test_three_derivatives_are_those_of_the_inverse_function():
    """The chain rule on g(a(t)) = t, from the derivatives of g by automatic differentiation."""
    slope = tf.constant([0.1, 0.5, 1.0, 4.0, 30.0], tf.float64)
    t = tf.constant([0.3, -1.0, 2.0, 0.0, 5.0], tf.float64)

    def derivatives(function, x, order):
        if order == 0:
            return [function(x)]
        with tf.GradientTape() as tape:
            tape.watch(x)
            lower = derivatives(function, x, order - 1)
        return [*lower, tape.gradient(lower[-1], x)]

    a, first, second, third = derivatives(lambda t: tanh_root(t, slope), t, 3)
    _, g1, g2, g3 = derivatives(lambda a: a + (slope - 1.0) * tf.tanh(a), a, 3)
    np.testing.assert_allclose(first, 1.0 / g1, rtol=1e-10)
    np.testing.assert_allclose(second, -g2 / g1**3, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(third, (3.0 * g2**2 - g1 * g3) / g1**5, rtol=1e-8, atol=1e-10)
    with tf.GradientTape() as tape:
        tape.watch(slope)
        a = tanh_root(t, slope)
    np.testing.assert_allclose(tape.gradient(a, slope), -tf.tanh(a) / g1, rtol=1e-10)


def test_slopes_are_exact_where_tanh_is_one_to_rounding():
    a = tf.constant([-30.0, 0.0, 1.0, 30.0])
    exact = 1.0 / np.cosh(a.numpy().astype(np.float64)) ** 2
    np.testing.assert_allclose(sech_squared(a), exact, rtol=1e-5)
    np.testing.assert_allclose(log_slope(a, tf.constant(1e8)), np.log1p((1e8 - 1.0) * exact), rtol=1e-5, atol=1e-6)
