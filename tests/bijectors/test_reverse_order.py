import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf.bijectors import ReverseOrder


def test_images_are_reversed_in_raster_and_channels():
    image = tf.reshape(tf.range(24.0), [1, 2, 4, 3])
    np.testing.assert_array_equal(tf.reshape(ReverseOrder(event_ndims=3).forward(image), [-1]), np.arange(24.0)[::-1])


def test_bad_arguments_raise_one_line():
    for function, message in {
        lambda: ReverseOrder(0): "positive integer",
        lambda: ReverseOrder(3).forward(tf.ones([2, 2])): "3 axes",
    }.items():
        with pytest.raises(ValueError, match=message) as error:
            function()
        assert "\n" not in str(error.value)
