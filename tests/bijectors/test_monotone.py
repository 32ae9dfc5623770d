"""The monotone map: its values, its inverse far out and at steep steps, and what it fits that an affine map cannot."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties, reference
from tests.bijectors.constructors import normals
from tests.bijectors.inverses.test_inverses import check_against_the_sequential, dense, recurrent
from tfp_iaf.bijectors import InverseAutoregressiveFlow, maps
from tfp_iaf.networks import AutoregressiveNetwork

tfd = tfp.distributions


def test_it_equals_the_reference():
    function = maps.Monotone(3)
    y, parameters = normals(4, 3), 2.0 * normals(4, 3, function.params, seed=4)
    z, log_derivative = function.forward(y, parameters)
    expected = [[reference.monotone(y[i, j].numpy(), parameters[i, j].numpy()) for j in range(3)] for i in range(4)]
    np.testing.assert_allclose(np.stack([z, log_derivative], axis=-1), expected, atol=1e-12)


def test_without_heights_it_is_the_affine_map():
    function, y = maps.Monotone(4), normals(50)
    shift, log_scale = 0.7, 1.3
    parameters = np.zeros([50, function.params])
    parameters[:, 0] = -shift * np.exp(-4.0 * np.tanh(log_scale / 4.0))
    parameters[:, 1] = -log_scale
    parameters[:, 2:6] = -1000.0
    ours = function.forward(y, tf.constant(parameters))
    for value, expected in zip(ours, maps.Affine().forward(y, tf.constant(np.tile([shift, log_scale], [50, 1])))):
        np.testing.assert_allclose(value, expected, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-4)])
def test_residuals_of_the_inverse_far_out_and_at_steep_steps(dtype, tolerance):
    """Heights up to 50 and widths down to 0.02; from a guess that is far off, too."""
    function = maps.Monotone(5)
    rng = np.random.default_rng(0)
    z = tf.constant(np.concatenate([rng.uniform(-60.0, 60.0, size=990), [0.0, 1e4, -1e4] * 2 + [3.0] * 4]), dtype)
    parameters = rng.normal(size=[1000, function.params]) * np.array([3.0, 1.0, *[20.0] * 5, *[3.0] * 5, *[6.0] * 5])
    parameters = tf.constant(parameters, dtype)
    for y in (function.inverse(z, parameters)[0], function.inverse_near(z, parameters, tf.ones_like(z) * 1e6)):
        residual = np.abs(function.forward(y, parameters)[0] - z) / (1.0 + np.abs(z))
        # Where the map is steep, rounding of y alone moves z.
        rounding = np.finfo(dtype).eps * (1.0 + np.abs(y)) * np.exp(function.forward(y, parameters)[1])
        assert (residual < tolerance + 4.0 * rounding).all()


def test_first_and_second_derivatives_of_the_inverse():
    """dy/dz = 1/f', d2y/dz2 = -f''/f'^3, and those of log f' at y, in closed form."""
    function = maps.Monotone(3)
    z, parameters = normals(6), normals(6, function.params, seed=4)
    with tf.GradientTape(persistent=True) as outer:
        outer.watch([z, parameters])
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([z, parameters])
            y, log_derivative = function.inverse(z, parameters)
        by_z = tape.gradient(y, z)
        log_derivative_by_z = tape.gradient(log_derivative, z)
    point = tf.identity(y)
    with tf.GradientTape(persistent=True) as first:
        first.watch([point, parameters])
        forward, log_slope = function.forward(point, parameters)
    slope, of_log = first.gradient(forward, point), first.gradient(log_slope, point)
    np.testing.assert_allclose(by_z, 1.0 / slope, rtol=1e-9)
    np.testing.assert_allclose(log_derivative_by_z, of_log / slope, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(outer.gradient(by_z, z), -of_log / slope**2, rtol=1e-7, atol=1e-10)
    by_parameters = -first.gradient(forward, parameters) / slope[:, None]
    np.testing.assert_allclose(tape.gradient(y, parameters), by_parameters, rtol=1e-8, atol=1e-10)


@pytest.mark.long
@pytest.mark.parametrize("inverse", ["fixed_point", "recurrent"])
def test_gradients_of_the_other_inverses(inverse):
    """Of that in blocks: `inverses/test_inverses.py`."""
    params = maps.Monotone().params
    network = recurrent(params, 3, 5, "gru", 3) if inverse == "recurrent" else dense(params, 4, (9,), context_size=3)
    check_against_the_sequential(network, inverse, "monotone")


def test_log_prob_far_out_in_float32():
    """At 50, where a logit of summed sigmoids would have saturated."""
    log_probs = []
    for dtype in ("float64", "float32"):
        network = AutoregressiveNetwork(maps.Monotone().params, 3, (16,), activation="tanh", dtype=dtype)
        network.build()
        properties.randomize(network)
        base = tfd.MultivariateNormalDiag(tf.zeros([3], dtype), 20.0 * tf.ones([3], dtype))
        q = tfd.TransformedDistribution(base, InverseAutoregressiveFlow(network, bijector_fn="monotone"))
        log_probs.append(q.log_prob(tf.constant([[50.0] * 3, [-50.0] * 3, [50.0, 0.0, 17.0]], dtype)))
    np.testing.assert_allclose(log_probs[1], log_probs[0], atol=1e-4)


def reverse_kl(bijector_fn, seed):
    """KL(q || p) in one dimension, by quadrature, after training; p = 0.5 N(-3, 0.7^2) + 0.5 N(3, 0.7^2)."""
    keras.utils.set_random_seed(seed)
    p = tfd.MixtureSameFamily(tfd.Categorical(probs=[0.5, 0.5]), tfd.Normal([-3.0, 3.0], 0.7))
    function = maps.get(bijector_fn)
    network = AutoregressiveNetwork(function.params, 1, ())
    network.build()
    network.output_layer.bias.assign(0.5 * np.random.default_rng(seed).normal(size=function.params))
    eps = tf.linspace(-6.0, 6.0, 1201)
    weights = tf.exp(-0.5 * eps**2) * 0.01 / np.sqrt(2.0 * np.pi)
    flow = InverseAutoregressiveFlow(network, bijector_fn=function)

    optimizer = keras.optimizers.Adam(0.05)
    optimizer.build(network.trainable_weights)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            z, log_det = flow.forward_and_log_det(eps[:, None])
            log_q = -0.5 * (eps**2 + np.log(2.0 * np.pi)) - log_det
            kl = tf.reduce_sum(weights * (log_q - p.log_prob(z[:, 0])))
        gradients = tape.gradient(kl, network.tf_variables, unconnected_gradients="zero")
        optimizer.apply(gradients, network.trainable_weights)
        return kl

    return float([step() for _ in range(400)][-1])


@pytest.mark.long
def test_two_modes_in_one_dimension():
    """The best of three seeds."""
    affine, monotone = (min(reverse_kl(name, seed) for seed in range(3)) for name in ("affine", "monotone"))
    assert monotone < 0.1
    assert monotone < 0.5 * affine


def test_the_inverse_stays_at_a_step_that_is_narrower_than_the_spacing_of_numbers():
    function = maps.Monotone(1)
    # A step of height 1 at y = 1e6, where float32 numbers lie 0.06 apart, on a line of slope 0.018.
    parameters = tf.constant([[0.0, -1e3, 3.5, 1e6 + 3.0, -1e3]])
    ends = function.forward(tf.constant([1e6 - 2.0, 1e6 + 2.0]), tf.tile(parameters, [2, 1]))[0]
    z = tf.linspace(ends[0], ends[1], 41)
    y, _ = function.inverse(z, tf.tile(parameters, [41, 1]))
    np.testing.assert_allclose(y, np.full(41, 1e6), rtol=0.0, atol=3.0)
