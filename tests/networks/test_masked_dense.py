import keras
import numpy as np

from tfp_iaf.networks import MaskedDense


def test_kernel_is_masked_in_the_forward_pass():
    layer = MaskedDense([1, 2, 3], [2, 2, 1, 3])
    layer.build()
    layer.kernel.assign(np.ones([3, 4]))
    x = np.array([[1.0, 10.0, 100.0]], np.float32)
    np.testing.assert_array_equal(layer(x), [[11.0, 11.0, 1.0, 111.0]])


def test_regularizers_and_weight_decay_leave_masked_entries_out():
    layer = MaskedDense([1, 2, 3], [2, 2, 1, 3], kernel_regularizer="l2")
    layer.build()
    np.testing.assert_array_equal(layer.kernel.numpy() != 0, layer.mask)
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.1)
    model = keras.Sequential([layer])
    model.compile(optimizer, "mse")
    model.fit(np.ones([8, 3]), np.ones([8, 4]), verbose=0)
    np.testing.assert_array_equal(layer.kernel.numpy() != 0, layer.mask)


def test_config_round_trip():
    layer = MaskedDense([1, 2], [1, 2, 3], strict=True, use_bias=False, kernel_regularizer="l2")
    twin = MaskedDense.from_config(layer.get_config())
    np.testing.assert_array_equal(twin.mask, layer.mask)
    assert twin.get_config() == layer.get_config()
    twin.build()
    assert len(twin.weights) == 1


def test_symbolic_shape():
    assert MaskedDense([1, 2], [1, 2, 3])(keras.Input((7, 2))).shape == (None, 7, 3)
