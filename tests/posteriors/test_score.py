"""The score of log q at its own samples: what path gradients are made of."""

import numpy as np
import pytest
import tensorflow as tf

from tests import cases
from tests.bijectors.constructors import NoInverse
from tests.posteriors.constructors import CASES
from tfp_iaf import objectives
from tfp_iaf.posteriors import Posterior

# Every kind, and every map; the other cases differ in the shapes of the latent alone.
LONG = ("IAF, spline", "recurrent IAF")
NAMES = ["diagonal", "full covariance", "recurrent IAF", "conv IAF", *(name for name in CASES if name.startswith("IAF"))]


def path_gradient_and_score(posterior, copy, features, seed):
    """Of a bound whose p is `copy`, at given features: gradients of its features and weights, the score, and p's score."""
    frozen = copy.read(features)
    with tf.GradientTape() as tape:
        tape.watch(features)
        parameters = posterior.read(features)
        z, log_q, score = posterior.draw_with_score(parameters, posterior.noise(parameters, 2, seed=seed))
        with tf.GradientTape() as tape_of_p:
            tape_of_p.watch(z)
            log_p = copy.log_prob_at(frozen, z)
        bound = log_p - objectives.along_path(log_q, score, z)
    by_z = tape_of_p.gradient(log_p, z)
    # Not through `log_p`, whose inverse has first derivatives only: its gradient is that of z.
    with_path = tape.gradient(z, [features, *posterior.trainable_weights], by_z - score, unconnected_gradients="zero")
    return bound, with_path, score, by_z


@cases.parametrize("name", {name: name for name in NAMES}, [name for name in NAMES if name in LONG or CASES[name].is_variant])
def test_path_gradients_vanish_per_sample_where_p_is_a_frozen_copy_of_q(name):
    case = CASES[name]
    # These two take long to trace.
    arguments = {"dtype": "float64", **({"num_flows": 1} if name in ("IAF, spline", "IAF, monotone") else {})}
    posterior, copy = case.trained(**arguments), case.trained(**arguments)
    function = tf.function(lambda features: path_gradient_and_score(posterior, copy, features, 3), autograph=False)
    bound, gradients, score, by_z = function(tf.constant(case.features(), tf.float64))
    np.testing.assert_allclose(bound, 0.0, atol=1e-9)
    assert np.abs(score).max() > 0.1
    # Of each sample: with respect to z, and so to all that z comes from.
    np.testing.assert_allclose(score, by_z, atol=1e-9)
    for gradient in gradients:
        np.testing.assert_allclose(gradient, 0.0, atol=1e-8)


@pytest.mark.long
def test_float32_and_xla():
    case = CASES["IAF"]
    posterior, copy = case.trained(num_flows=1), case.trained(num_flows=1)
    function = tf.function(lambda features: path_gradient_and_score(posterior, copy, features, 3)[2:], jit_compile=True)
    score, by_z = function(tf.constant(case.features()))
    np.testing.assert_allclose(score, by_z, rtol=1e-3, atol=1e-4)


class WithScore(NoInverse):
    def forward_and_score(self, y, score):
        return *self.forward_and_log_det(y), 0.5 * score


@pytest.mark.parametrize(("flow", "has_score"), [(NoInverse, False), (WithScore, True)])
def test_a_flow_without_inverse_may_have_a_score(flow, has_score):
    class OfFlow(Posterior):
        def flows(self, flow_inputs):
            return [flow()]

    posterior = OfFlow(2)
    posterior.build((None, 3))
    assert posterior.has_score is has_score
    parameters = posterior.read(tf.ones([5, 3]))
    noise = posterior.noise(parameters)
    if has_score:
        _, scale = parameters[0], posterior.base_scale(*parameters[:2])
        np.testing.assert_allclose(posterior.draw_with_score(parameters, noise)[2], -0.5 * noise / scale, rtol=1e-5)
    else:
        with pytest.raises(NotImplementedError, match="has no inverse"):
            posterior.draw_with_score(parameters, noise)
