import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import reference
from tfp_iaf.bijectors import elementwise


@pytest.mark.parametrize("name", ["affine", "gated", "location"])
def test_named_maps_equal_the_reference_and_invert(name):
    rng = np.random.default_rng(0)
    y, parameters = rng.normal(size=[4, 3]), 2.0 * rng.normal(size=[4, 3, elementwise.params_of(name)])
    function = elementwise.get(name)
    z, log_derivative = function.forward(tf.constant(y), tf.constant(parameters))
    expected = [[reference.elementwise(name, y[i, j], parameters[i, j]) for j in range(3)] for i in range(4)]
    np.testing.assert_allclose(np.stack([z, log_derivative], axis=-1), expected, atol=1e-12)
    back, log_derivative_at_z = function.inverse(z, tf.constant(parameters))
    np.testing.assert_allclose(back, y, atol=1e-12)
    np.testing.assert_allclose(log_derivative_at_z, log_derivative, atol=1e-12)


@pytest.mark.parametrize("name", ["affine", "gated", "location"])
def test_zero_parameters_are_near_the_identity(name):
    y = tf.constant([0.5, -1.0])
    z, log_derivative = elementwise.get(name).forward(y, tf.zeros([2, elementwise.params_of(name)]))
    np.testing.assert_allclose(z, y, atol=0.13)
    np.testing.assert_allclose(log_derivative, [0.0, 0.0], atol=0.13)


@pytest.mark.parametrize("name", ["affine", "gated"])
@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_extreme_parameters_stay_finite_forward(name, extreme):
    values = elementwise.get(name).forward(tf.constant([1.0]), tf.fill([1, 2], extreme))
    assert np.isfinite(np.stack(values)).all()


def test_any_elementwise_bijector_joins_in():
    function = elementwise.get(lambda parameters: tfp.bijectors.SinhArcsinh(skewness=parameters[..., 0]))
    y, parameters = tf.constant([0.3, -2.0], tf.float64), tf.constant([[0.5], [-0.5]], tf.float64)
    z, log_derivative = function.forward(y, parameters)
    back, log_derivative_at_z = function.inverse(tf.identity(z), parameters)
    np.testing.assert_allclose(back, y, atol=1e-12)
    np.testing.assert_allclose(log_derivative_at_z, log_derivative, atol=1e-12)


@pytest.mark.parametrize("function", [elementwise.get, elementwise.params_of])
@pytest.mark.parametrize("name", ["Affine", "", None, 3])
def test_unknown_names(function, name):
    with pytest.raises(ValueError, match="expected one of affine, gated, location"):
        function(name)
