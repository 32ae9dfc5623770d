"""The recipe, `fit` with its defaults on a surrogate with its defaults, on two posteriors that mean field misses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.vi.test_surrogate import EFFECTS, eight_schools
from tfp_iaf import vi

tfd = tfp.distributions


@tfd.JointDistributionCoroutineAutoBatched
def funnel():
    v = yield tfd.Normal(0.0, 3.0, name="v")
    yield tfd.Sample(tfd.Normal(0.0, tf.exp(0.5 * v)), 9, name="x")


def funnel_of_inference_gym(z):
    from inference_gym import using_tensorflow as gym  # Takes a second.

    return gym.targets.NealsFunnel(ndims=10).unnormalized_log_prob(tf.concat([z.v[..., tf.newaxis], z.x], axis=-1))


def test_the_funnel_is_that_of_inference_gym():
    z = funnel.sample(20, seed=0)
    np.testing.assert_allclose(funnel.log_prob(z), funnel_of_inference_gym(z), rtol=1e-5, atol=1e-4)


# Name -> (what is fitted, its target, the unknowns, their means and standard deviations: by NUTS, and exactly).
TARGETS = {
    "eight schools": (
        eight_schools.experimental_pin(observed=EFFECTS),
        None,
        lambda z: (z.mean, tf.math.log(z.scale), z.effects[:, 0]),
        [(6.52, 3.95), (0.74, 0.84), (7.62, 5.28)],
    ),
    "funnel": (funnel, funnel_of_inference_gym, lambda z: (z.v,), [(0.0, 3.0)]),
}


@pytest.mark.long
@pytest.mark.compiled
@pytest.mark.parametrize("name", TARGETS)
def test_the_defaults_find_the_posterior(name):
    joint, target, unknowns, expected = TARGETS[name]
    diagnoses = []
    for seed in range(3):
        keras.utils.set_random_seed(seed)
        surrogate = vi.build_iaf_surrogate_posterior(joint, seed=seed)
        vi.fit(target or joint, surrogate, seed=seed)
        diagnoses.append(vi.diagnose(target or joint, surrogate, seed=seed))
        for draws, (mean, sd) in zip(unknowns(surrogate.sample(50_000, seed=seed)), expected):
            assert abs(np.mean(draws) - mean) <= 0.15 * sd
            assert 0.88 <= np.std(draws) / sd <= 1.12
    assert all(diagnosis.pareto_k < 0.7 for diagnosis in diagnoses)
    assert np.median([diagnosis.effective_sample_size for diagnosis in diagnoses]) >= 0.7
