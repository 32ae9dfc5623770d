"""Checks that every bijector and posterior must pass. TFP's cache is broken first: it would answer from memory."""

import numpy as np
import tensorflow as tf


def randomize(layer, scale=0.5, seed=0):
    """Moves all weights of a layer away from their near-identity start."""
    rng = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        fan_in = np.prod(weight.shape[:-1])
        weight.assign(rng.normal(size=weight.shape) * scale / np.sqrt(fan_in))


def fresh(x):
    """The same values in a tensor that no cache knows."""
    return tf.constant(np.array(x))


def jacobian(function, y):
    """dz/dy of a function of one event `[D]`, `[D, D]`."""
    y = tf.convert_to_tensor(y)
    with tf.GradientTape() as tape:
        tape.watch(y)
        z = tf.reshape(function(y), [-1])
    return tf.reshape(tape.jacobian(z, y), [z.shape[0], -1]).numpy()


def check_round_trip(bijector, y, atol, event_ndims=1):
    z = bijector.forward(y)
    np.testing.assert_allclose(bijector.inverse(fresh(z)), y, atol=atol)
    forward = bijector.forward_log_det_jacobian(fresh(y), event_ndims=event_ndims)
    inverse = bijector.inverse_log_det_jacobian(fresh(z), event_ndims=event_ndims)
    np.testing.assert_allclose(forward, -inverse, atol=atol)


def check_log_det(bijector, y, atol=1e-9):
    """log_det equals slogdet of the autodiff Jacobian; `y` is one event in float64."""
    sign, expected = np.linalg.slogdet(jacobian(lambda y: bijector.forward(fresh_gradient(y)), y))
    assert sign != 0
    ndims = bijector.forward_min_event_ndims
    np.testing.assert_allclose(bijector.forward_log_det_jacobian(fresh(y), event_ndims=ndims), expected, atol=atol)


def fresh_gradient(y):
    """As `fresh`, but gradients pass."""
    return tf.identity(y)


def check_modes_agree(function, *arguments, atol):
    """Eager, graph, partly unknown shapes and XLA give the same."""
    eager = function(*map(fresh, arguments))
    unknown = [tf.TensorSpec([None] * np.ndim(argument), argument.dtype) for argument in arguments]
    for compiled in (
        tf.function(function),
        tf.function(function, input_signature=unknown),
        tf.function(function, jit_compile=True),
    ):
        tf.nest.map_structure(
            lambda a, b: np.testing.assert_allclose(a, b, atol=atol), eager, compiled(*map(tf.constant, arguments))
        )


def check_sample_density(distribution, z, log_q, atol):
    np.testing.assert_allclose(distribution.log_prob(fresh(z)), log_q, atol=atol)


def integral_on_the_plane(log_prob, half_width=9.0, points=361):
    """The integral of exp(log_prob) over a square, by the midpoint rule; `log_prob` takes `[N, 2]`."""
    axis = np.linspace(-half_width, half_width, points)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape([-1, 2])
    return float(np.exp(np.asarray(log_prob(grid))).sum() * (axis[1] - axis[0]) ** 2)
