import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.bijectors.constructors import BIJECTORS, normals
from tfp_iaf.bijectors import LinearCholeskyIAF

tfd = tfp.distributions


def test_it_gives_the_covariance_of_section_4_1():
    flow = BIJECTORS["linear Cholesky"]()
    cholesky = flow.cholesky().numpy()
    assert (np.diag(cholesky) == 1).all()
    assert (np.triu(cholesky, 1) == 0).all()
    off_diagonal = tfp.math.fill_triangular_inverse(tf.linalg.band_part(cholesky[1:, :-1], -1, 0))
    np.testing.assert_array_equal(off_diagonal, flow.off_diagonal)
    scale = np.arange(1.0, 6.0)
    ours = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros([5], tf.float64), scale), flow)
    theirs = tfd.MultivariateNormalTriL(tf.zeros([5], tf.float64), cholesky * scale)
    z = normals(7, 5)
    np.testing.assert_allclose(ours.log_prob(z), theirs.log_prob(z), atol=1e-9)
    # TFP computes these of bijectors whose Jacobian is constant.
    np.testing.assert_allclose(ours.entropy(), theirs.entropy(), atol=1e-9)
    np.testing.assert_allclose(ours.mean(), theirs.mean(), atol=1e-9)


def test_bad_arguments_raise_one_line():
    for function, message in {
        lambda: LinearCholeskyIAF(tf.ones([2, 4])): "1, 3, 6, 10",
        lambda: LinearCholeskyIAF(tf.constant(1.0)): "1, 3, 6, 10",
        lambda: LinearCholeskyIAF(tf.ones([3], tf.int32)): "floating-point",
        lambda: LinearCholeskyIAF(tf.ones([3])).forward(tf.ones([4])): r"events of shape \[..., 3\]",
    }.items():
        with pytest.raises(ValueError, match=message) as error:
            function()
        assert "\n" not in str(error.value)
