import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import reference
from tfp_iaf.bijectors import maps as elementwise


@pytest.mark.parametrize("name", ["affine", "gated", "location"])
def test_named_maps_equal_the_reference_and_invert(name):
    rng = np.random.default_rng(0)
    y, parameters = rng.normal(size=[4, 3]), 2.0 * rng.normal(size=[4, 3, elementwise.params_of(name)])
    function = elementwise.get(name, elementwise.params_of(name))
    z, log_derivative = function.forward(tf.constant(y), tf.constant(parameters))
    expected = [[reference.elementwise(name, y[i, j], parameters[i, j]) for j in range(3)] for i in range(4)]
    np.testing.assert_allclose(np.stack([z, log_derivative], axis=-1), expected, atol=1e-12)
    back, log_derivative_at_z = function.inverse(z, tf.constant(parameters))
    np.testing.assert_allclose(back, y, atol=1e-12)
    np.testing.assert_allclose(log_derivative_at_z, log_derivative, atol=1e-12)


@pytest.mark.parametrize("name", ["affine", "gated", "location", "spline"])
def test_zero_parameters_are_near_the_identity(name):
    y = tf.constant([0.5, -1.0])
    z, log_derivative = elementwise.get(name, elementwise.params_of(name)).forward(
        y, tf.zeros([2, elementwise.params_of(name)])
    )
    np.testing.assert_allclose(z, y, atol=0.13)
    np.testing.assert_allclose(log_derivative, [0.0, 0.0], atol=0.13)


@pytest.mark.parametrize("name", ["affine", "gated"])
@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_extreme_parameters_stay_finite_forward(name, extreme):
    values = elementwise.get(name, elementwise.params_of(name)).forward(tf.constant([1.0]), tf.fill([1, 2], extreme))
    assert np.isfinite(np.stack(values)).all()


def test_any_elementwise_bijector_joins_in():
    function = elementwise.get(lambda parameters: tfp.bijectors.SinhArcsinh(skewness=parameters[..., 0]), 1)
    y, parameters = tf.constant([0.3, -2.0], tf.float64), tf.constant([[0.5], [-0.5]], tf.float64)
    z, log_derivative = function.forward(y, parameters)
    back, log_derivative_at_z = function.inverse(tf.identity(z), parameters)
    np.testing.assert_allclose(back, y, atol=1e-12)
    np.testing.assert_allclose(log_derivative_at_z, log_derivative, atol=1e-12)


@pytest.mark.parametrize("function", [lambda name: elementwise.get(name, 2), elementwise.params_of])
@pytest.mark.parametrize("name", ["Affine", "", None, 3])
def test_unknown_names(function, name):
    with pytest.raises(ValueError, match="expected one of affine, gated, location, spline"):
        function(name)


def test_spline_is_the_identity_at_zero_and_outside_its_range():
    spline = elementwise.get("spline", 23)
    y = tf.constant([[-70.0, -5.0, -1.0, 0.3, 4.9, 5.0, 12.0]])
    z, log_derivative = spline.forward(y, tf.zeros([1, 7, 23]))
    np.testing.assert_allclose(z, y, rtol=1e-4)
    np.testing.assert_allclose(log_derivative, np.zeros([1, 7]), atol=1e-3)
    outside = tf.constant([[-70.0, 12.0]])
    parameters = 3.0 * np.random.default_rng(0).normal(size=[1, 2, 23]).astype(np.float32)
    np.testing.assert_array_equal(spline.forward(outside, parameters)[0], outside)


def test_spline_goes_through_its_knots_with_its_slopes():
    """K = 3 bins: widths and heights by softmax, slopes 1 at the ends."""
    parameters = np.array([0.3, -1.0, 0.5, -0.2, 0.8, 0.1, 1.5, -0.7])
    softmax = [np.exp(logits) / np.exp(logits).sum() for logits in (parameters[:3], parameters[3:6])]
    x, y = (np.concatenate([[-5.0], -5.0 + np.cumsum(10.0 * (0.99 * share + 0.01 / 3))]) for share in softmax)
    slopes = [1.0, *(np.log1p(np.exp(parameters[6:] + np.log(np.e - 1.0))) + 1e-5), 1.0]
    z, log_derivative = elementwise.get("spline", 8).forward(tf.constant(x), tf.constant(np.tile(parameters, [4, 1])))
    np.testing.assert_allclose(z, y, atol=1e-9)
    np.testing.assert_allclose(np.exp(log_derivative), slopes, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("affine", 1, r"takes 2 parameter\(s\) an entry, but the network has params=1"),
        ("location", 2, r"build it with params=1"),
        ("spline", 2, "3 K - 1 parameters"),
        ("spline", 9, "3 K - 1 parameters"),
    ],
)
def test_wrong_numbers_of_parameters(name, params, message):
    with pytest.raises(ValueError, match=message):
        elementwise.get(name, params)


def test_a_map_leaves_nothing_in_the_cache_of_tfp():
    cache = tfp.bijectors.Bijector._cache.storage
    before = len(cache)

    def chain(parameters):
        return tfp.bijectors.Chain([tfp.bijectors.Shift(parameters[..., 0]), tfp.bijectors.SinhArcsinh(parameters[..., 1])])

    for function in (elementwise.get("spline", 23), elementwise.get(chain, 23)):
        for direction in (function.forward, function.inverse):
            tf.function(direction).get_concrete_function(tf.zeros([2]), tf.zeros([2, 23]))
    assert len(cache) == before
