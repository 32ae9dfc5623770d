"""The curved targets of any dimension."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.dimension_targets import FAMILIES, Tree
from tests import properties


@pytest.mark.parametrize("family", FAMILIES)
def test_the_density_is_that_of_the_draws(family):
    target = Tree(11, family)
    noise = tf.random.stateless_normal([4, 11], [0, 1])
    z = target.sample(4, [0, 1])
    expected = -0.5 * np.sum(noise**2, axis=1) - 5.5 * np.log(2.0 * np.pi)
    np.testing.assert_allclose(target.log_prob(z), expected, rtol=1e-5)
    # Volumes stay, whatever the order of the entries.
    by_noise = properties.jacobian(lambda z: target.noise(z[tf.newaxis])[0], z[0])
    assert abs(np.linalg.det(by_noise)) == pytest.approx(1.0, abs=1e-5)
