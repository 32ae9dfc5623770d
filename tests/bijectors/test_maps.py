import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import reference
from tfp_iaf import scales
from tfp_iaf.bijectors import maps

tfb = tfp.bijectors

NAMES = ["affine", "gated", "location", "monotone", "spline"]


@keras.saving.register_keras_serializable("tests")
def skewed(parameters):
    return tfp.bijectors.SinhArcsinh(skewness=parameters[..., 0])


@keras.saving.register_keras_serializable("tests")
class Scaled(maps.ElementwiseMap):
    """z = c y + parameter."""

    params = 1

    def __init__(self, factor):
        self.factor = factor

    def forward(self, y, parameters):
        return self.factor * y + parameters[..., 0], tf.fill(tf.shape(y), tf.math.log(tf.cast(self.factor, y.dtype)))

    def inverse(self, z, parameters):
        return (z - parameters[..., 0]) / self.factor, tf.fill(tf.shape(z), tf.math.log(tf.cast(self.factor, z.dtype)))

    def get_config(self):
        return {"factor": self.factor}


BIJECTOR_FNS = {
    **{name: name for name in NAMES},
    "spline of 3 bins": maps.Spline(3),
    "monotone of 3 sigmoids": maps.Monotone(3),
    "spline to 20": maps.Spline(num_bins=4, half_range=20.0),
    "callable": (skewed, 1),
    "own": Scaled(2.0),
    "affine within e": maps.Affine(log_scale_bound=1.0),
}


@pytest.mark.parametrize("name", ["affine", "gated", "location"])
def test_named_maps_equal_the_reference(name):
    rng = np.random.default_rng(0)
    function = maps.get(name)
    y, parameters = rng.normal(size=[4, 3]), 2.0 * rng.normal(size=[4, 3, function.params])
    z, log_derivative = function.forward(tf.constant(y), tf.constant(parameters))
    expected = [[reference.elementwise(name, y[i, j], parameters[i, j]) for j in range(3)] for i in range(4)]
    np.testing.assert_allclose(np.stack([z, log_derivative], axis=-1), expected, atol=1e-12)


@pytest.mark.parametrize("bijector_fn", BIJECTOR_FNS.values(), ids=BIJECTOR_FNS)
def test_every_map_inverts_and_gives_the_derivative_of_forward(bijector_fn):
    function = maps.get(bijector_fn)
    rng = np.random.default_rng(0)
    y, parameters = tf.constant(3.0 * rng.normal(size=[5, 3])), tf.constant(rng.normal(size=[5, 3, function.params]))
    with tf.GradientTape() as tape:
        tape.watch(y)
        z, log_derivative = function.forward(y, parameters)
    np.testing.assert_allclose(log_derivative, np.log(tape.gradient(z, y)), atol=1e-9)
    for mode in (lambda direction: direction, lambda direction: tf.function(direction, jit_compile=True, autograph=False)):
        for ours, expected in zip(mode(function.forward)(y, parameters), (z, log_derivative)):
            np.testing.assert_allclose(ours, expected, atol=1e-9)
        back, log_derivative_at_z = mode(function.inverse)(z, parameters)
        np.testing.assert_allclose(back, y, atol=1e-9)
        np.testing.assert_allclose(log_derivative_at_z, log_derivative, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_zero_parameters_are_near_the_identity(name):
    function, y = maps.get(name), tf.constant([0.5, -1.0])
    z, log_derivative = function.forward(y, tf.zeros([2, function.params]))
    np.testing.assert_allclose(z, y, atol=0.13)
    np.testing.assert_allclose(log_derivative, [0.0, 0.0], atol=0.13)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_extreme_parameters_stay_finite_forward(name, extreme):
    function = maps.get(name)
    values = function.forward(tf.constant([1.0]), tf.fill([1, function.params], extreme))
    assert np.isfinite(np.stack(values)).all()


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("affine", np.exp(-4.0), np.exp(4.0)), ("gated", 0.018, 0.9997), (maps.Affine(1.0), np.exp(-1.0), np.e)],
)
def test_scales_reach_the_documented_bounds_and_no_further(name, low, high):
    function = maps.get(name)
    parameters = tf.constant([[0.0, -1e4], [0.0, 1e4]], tf.float64)
    scales = np.exp(function.forward(tf.zeros([2], tf.float64), parameters)[1])
    np.testing.assert_allclose(np.sort(scales), [low, high], rtol=2e-2)


# Names, pairs, objects, configs


@pytest.mark.parametrize("bijector_fn", BIJECTOR_FNS.values(), ids=BIJECTOR_FNS)
def test_serialized_maps_come_back_equal(bijector_fn):
    original = maps.get(bijector_fn)
    config = json.loads(json.dumps(maps.serialize(original)))
    assert config == bijector_fn or not isinstance(bijector_fn, str)
    twin = maps.get(config)
    assert type(twin) is type(original)
    y, parameters = tf.constant([0.3, -7.0]), tf.random.stateless_normal([2, original.params], seed=[0, 1])
    for ours, expected in zip(twin.forward(y, parameters), original.forward(y, parameters)):
        np.testing.assert_array_equal(ours, expected)


def test_a_config_runs_nothing_that_is_not_registered():
    config = maps.serialize(maps.get((skewed, 1)))
    text = json.dumps(config).replace("skewed", "abort").replace("tests>", "").replace("tests.bijectors.test_maps", "os")
    with pytest.raises(ValueError, match="not registered"):
        maps.get(json.loads(text))


def test_maps_of_equal_arguments_are_equal():
    assert maps.get((skewed, 1)) == maps.get((skewed, 1))
    assert hash(maps.get((skewed, 1))) == hash(maps.get((skewed, 1)))
    assert maps.Spline(4) == maps.Spline(4)
    assert maps.Monotone(4) == maps.Monotone(4) != maps.Monotone()
    assert hash(maps.Monotone(4)) == hash(maps.Monotone(4))
    assert maps.Spline(4) != maps.Spline(4, half_range=2.0)
    assert maps.Affine(1.0) == maps.Affine(1.0) != maps.Affine()


@pytest.mark.parametrize("name", ["Affine", "", None, 3, skewed, ("affine", 2), maps.Affine])
def test_unknown_maps(name):
    with pytest.raises(ValueError, match="must be one of affine, gated, location, monotone, spline") as error:
        maps.get(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("affine", 1, r"takes 2 parameter\(s\) per entry, but the network has params=1; build it with params=2"),
        ("location", 2, "build it with params=1"),
        ("spline", 2, "3 K - 1 parameters"),
        ("spline", 9, "3 K - 1 parameters"),
        (maps.Spline(3), 9, "build it with params=8"),
    ],
)
def test_wrong_numbers_of_parameters(name, params, message):
    with pytest.raises(ValueError, match=message):
        maps.get(name, params)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: maps.FromBijector("affine", 2), "takes a function"),
        (lambda: maps.FromBijector(skewed, 0), "positive integer"),
        (lambda: maps.Spline(1), "at least 2"),
        (lambda: maps.Monotone(0), "num_sigmoids must be a positive integer"),
        (lambda: maps.Affine(log_scale_bound=-1.0), "log_scale_bound must be a positive number"),
        (lambda: maps.Spline(8, half_range=0.0), "half_range must be a positive number"),
        (lambda: maps.Spline(8, half_range=np.inf), "half_range must be a positive number"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# The spline


@pytest.mark.parametrize("half_range", [5.0, 20.0])
def test_spline_is_the_identity_at_zero_and_outside_its_range(half_range):
    spline = maps.Spline(half_range=half_range)
    y = half_range / 5.0 * tf.constant([[-70.0, -5.0, -1.0, 0.3, 4.9, 5.0, 12.0]])
    z, log_derivative = spline.forward(y, tf.zeros([1, 7, 23]))
    np.testing.assert_allclose(z, y, rtol=1e-4)
    np.testing.assert_allclose(log_derivative, np.zeros([1, 7]), atol=1e-3)
    beyond = half_range * tf.constant([[-70.0, 1.01, 12.0]])
    parameters = 3.0 * np.random.default_rng(0).normal(size=[1, 3, 23]).astype(np.float32)
    np.testing.assert_array_equal(spline.forward(beyond, parameters)[0], beyond)
    within = half_range * tf.constant([[-0.9, 0.5, 0.9]])
    moved = spline.forward(within, parameters)[0]
    assert (moved != within).numpy().all()
    assert (np.abs(moved) < half_range).all()


def test_spline_goes_through_its_knots_with_its_slopes():
    """K = 3 bins: widths and heights by softmax, slopes 1 at the ends."""
    parameters = np.array([0.3, -1.0, 0.5, -0.2, 0.8, 0.1, 1.5, -0.7])
    softmax = [np.exp(logits) / np.exp(logits).sum() for logits in (parameters[:3], parameters[3:6])]
    x, y = (np.concatenate([[-5.0], -5.0 + np.cumsum(10.0 * (0.99 * share + 0.01 / 3))]) for share in softmax)
    slopes = [1.0, *(1e-3 + 0.999 * np.log1p(np.exp(parameters[6:] + np.log(np.e - 1.0)))), 1.0]
    z, log_derivative = maps.get("spline", 8).forward(tf.constant(x), tf.constant(np.tile(parameters, [4, 1])))
    np.testing.assert_allclose(z, y, atol=1e-9)
    np.testing.assert_allclose(np.exp(log_derivative), slopes, atol=1e-9)


def test_spline_equals_the_one_of_tfp():
    rng = np.random.default_rng(0)
    parameters, x = rng.normal(size=[500, 11]), rng.uniform(-5.0, 5.0, size=500)
    widths, heights, slopes = np.split(parameters, [4, 8], axis=-1)
    sizes = [10.0 * (0.99 * tf.nn.softmax(tf.constant(logits)) + 0.01 / 4) for logits in (widths, heights)]
    expected = tfb.RationalQuadraticSpline(*sizes, scales.softplus_slope(tf.constant(slopes)), range_min=-5.0)
    y, log_derivative = maps.Spline(4).forward(tf.constant(x), tf.constant(parameters))
    np.testing.assert_allclose(y, expected.forward(x), atol=1e-12)
    np.testing.assert_allclose(log_derivative, expected.forward_log_det_jacobian(x, 0), atol=1e-10)
    y, log_derivative = maps.Spline(4).inverse(tf.constant(x), tf.constant(parameters))
    np.testing.assert_allclose(y, expected.inverse(x), atol=1e-12)
    np.testing.assert_allclose(log_derivative, -expected.inverse_log_det_jacobian(x, 0), atol=1e-10)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("scale", [3.0, 30.0, 300.0])
def test_inverse_of_a_spline_with_any_parameters(scale, jit_compile):
    """In float32, at random z and just below the knots, where the usual formula is NaN now and then."""
    rng = np.random.default_rng(0)
    for spline in (maps.Spline(2), maps.Spline(8)):
        parameters = (scale * rng.normal(size=[4000, spline.params])).astype(np.float32)
        heights = 0.99 * tf.nn.softmax(parameters[:, spline.num_bins : 2 * spline.num_bins]) + 0.01 / spline.num_bins
        knots = 10.0 * np.cumsum(heights, axis=-1)[:, 0] - 5.0
        inverse = tf.function(spline.inverse, jit_compile=jit_compile)
        for z in (rng.uniform(-5.0, 5.0, size=4000), knots, knots - 5e-7, knots - 1e-6):
            z = tf.constant(z, tf.float32)
            y, log_derivative = inverse(z, tf.constant(parameters))
            back, exact = spline.forward(tf.cast(y, tf.float64), tf.constant(parameters, tf.float64))
            # Rounding of y moves z by the slope times 5e-7, and by what it loses to the knots of the narrowest bins.
            assert np.all(np.abs(back.numpy() - z.numpy()) <= 2e-5 + 6e-6 * np.exp(np.maximum(exact, log_derivative)))


def test_inverse_of_a_spline_beside_steep_and_flat_knots():
    nearly_flat = np.tile(np.array([-4.0, 2.0, 1.0, -6.0, -6.0], np.float32), [8, 1])
    y, _ = maps.Spline(2).inverse(tf.fill([8], np.float32(4.9409804)), nearly_flat)
    np.testing.assert_allclose(y, np.full(8, -4.92552), atol=1e-4)
    steep = np.tile(np.array([0.0, 0.0, 0.0, 0.0, 1e4], np.float32), [3, 1])
    z = tf.constant([-4.0, -2.0, -0.1])
    back, _ = maps.Spline(2).forward(maps.Spline(2).inverse(z, steep)[0], steep)
    np.testing.assert_allclose(back, z, atol=5e-3)


def test_a_spline_of_very_many_bins():
    spline = maps.Spline(4000)
    parameters = (30.0 * np.random.default_rng(0).normal(size=[50, spline.params])).astype(np.float32)
    for z in (4.9999995, -4.9999995, 1.0):
        for direction in (spline.forward, spline.inverse):
            assert np.isfinite(direction(tf.fill([50], np.float32(z)), parameters)).all()


@pytest.mark.parametrize("half_range", [1e-6, 1e-3, 1e6])
def test_a_spline_is_as_exact_on_any_range(half_range):
    rng = np.random.default_rng(0)
    spline, parameters = maps.Spline(4, half_range=half_range), rng.normal(size=[1000, 11])
    y = np.float32(half_range * rng.uniform(-1.0, 1.0, size=1000))
    z, log_derivative = spline.forward(tf.constant(y), tf.constant(parameters, tf.float32))
    expected = spline.forward(tf.constant(y, tf.float64), tf.constant(np.float32(parameters), tf.float64))
    np.testing.assert_allclose(z / half_range, expected[0] / half_range, atol=2e-5)
    np.testing.assert_allclose(log_derivative, expected[1], atol=1e-3)


def test_a_map_leaves_nothing_in_the_cache_of_tfp():
    cache = tfp.bijectors.Bijector._cache.storage
    before = len(cache)

    def chain(parameters):
        return tfp.bijectors.Chain([tfp.bijectors.Shift(parameters[..., 0]), tfp.bijectors.SinhArcsinh(parameters[..., 1])])

    for function in (maps.get("spline", 23), maps.get(chain, 23)):
        for direction in (function.forward, function.inverse):
            tf.function(direction, autograph=False).get_concrete_function(tf.zeros([2]), tf.zeros([2, 23]))
    assert len(cache) == before


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda p: p[..., 0], r"must return a tfb\.Bijector, got"),
        (lambda p: tfp.bijectors.Shift(shift=p), r"on each entry by itself: .* as in parameters\[\.\.\., 0\]"),
    ],
)
def test_a_function_that_makes_no_elementwise_bijector(function, message):
    for direction in (maps.get((function, 1)).forward, maps.get((function, 1)).inverse):
        with pytest.raises(ValueError, match=message):
            direction(tf.zeros([2, 2]), tf.zeros([2, 2, 1]))


@pytest.mark.parametrize(
    "function",
    [
        lambda p: tfb.Shift(p[..., 0]),
        lambda p: tfb.Chain([tfb.Scale(2.0), tfb.Shift(p[..., 0])]),
        lambda p: tfb.Scale(tf.constant([2.0, 3.0])),
    ],
    ids=["shift", "scaled shift", "scale"],
)
def test_bijectors_with_a_constant_derivative(function):
    """TFP gives their log-derivative as one number, or one per scale."""
    elementwise_map = maps.get((function, 1))
    y, parameters = tf.constant([[0.5, -1.0], [2.0, 0.0]]), tf.ones([2, 2, 1])
    z, log_derivative = elementwise_map.forward(y, parameters)
    assert log_derivative.shape == y.shape
    back, of_inverse = elementwise_map.inverse(z, parameters)
    np.testing.assert_allclose(back, y, atol=1e-6)
    np.testing.assert_allclose(of_inverse, log_derivative)
    with tf.GradientTape() as tape:
        tape.watch(y)
        z, _ = elementwise_map.forward(y, parameters)
    np.testing.assert_allclose(tf.exp(log_derivative), tape.gradient(z, y), rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 5.0])
@pytest.mark.parametrize("name", NAMES)
def test_inverses_of_large_parameters(name, scale):
    """As exact as rounding of z allows."""
    elementwise_map = maps.get(name)
    rng = np.random.default_rng(0)
    parameters = tf.constant(scale * rng.normal(size=[40_000, elementwise_map.params]), tf.float32)
    y = tf.constant(2.0 * rng.normal(size=[40_000]), tf.float32)
    z, log_derivative = elementwise_map.forward(y, parameters)
    back, log_derivative_at_z = elementwise_map.inverse(z, parameters)
    # By how much rounding of z moves y.
    tolerance = 1e-5 * (1.0 + np.abs(z)) * np.exp(-log_derivative) + 1e-5
    largest = np.abs(parameters).max(axis=-1)  # Terms that cancel.
    assert np.isfinite(log_derivative_at_z).all()
    assert (np.abs(back - y) <= tolerance * (1.0 + largest)).mean() > (0.99 if name == "spline" else 0.9999)
