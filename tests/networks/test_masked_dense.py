import keras
import numpy as np

from tfp_iaf.networks import MaskedDense


def test_kernel_is_masked_in_the_forward_pass():
    layer = MaskedDense([1, 2, 3], [2, 2, 1, 3], kernel_initializer="ones")
    x = np.array([[1.0, 10.0, 100.0]], np.float32)
    np.testing.assert_array_equal(layer(x), [[11.0, 11.0, 1.0, 111.0]])
    np.testing.assert_array_equal(layer.kernel, np.ones([3, 4]))


def test_config_round_trip():
    layer = MaskedDense([1, 2], [1, 2, 3], strict=True, use_bias=False, kernel_regularizer="l2")
    twin = MaskedDense.from_config(layer.get_config())
    np.testing.assert_array_equal(twin.mask, layer.mask)
    assert twin.get_config() == layer.get_config()
    twin.build()
    assert len(twin.weights) == 1


def test_symbolic_shape():
    assert MaskedDense([1, 2], [1, 2, 3])(keras.Input((7, 2))).shape == (None, 7, 3)
