import numpy as np
import tensorflow as tf

from tfp_iaf import scales


def test_log_scale_is_bounded_and_the_identity_near_zero():
    u = tf.constant([-1e9, -1e-3, 0.0, 1e-3, 1e9])
    np.testing.assert_allclose(scales.bounded_log_scale(u), [-4.0, -1e-3, 0.0, 1e-3, 4.0], rtol=1e-5)


def test_softplus_scale_is_positive_one_at_zero_and_linear_far_out():
    values = scales.softplus_scale(tf.constant([-1e9, 0.0, 1e3])).numpy()
    assert values[0] > 0
    np.testing.assert_allclose(values[1:], [1.0, 1e3], rtol=1e-3)
