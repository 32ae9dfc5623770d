import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tfp_iaf import masks
from tfp_iaf.layers import MaskedConv


def make(kernel_size=3, reverse=False, strict=False, **kwargs):
    layer = MaskedConv([1, 2, 3], [0, 1, 1, 2], strict, kernel_size, reverse, dtype="float64", **kwargs)
    layer.build()
    properties.randomize(layer)
    return layer


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 3, (5, 3), (2, 4)], ids=str)
def test_equals_the_convolution_with_the_whole_masked_kernel(kernel_size, strict, reverse):
    """The kernel with its forbidden rows as zeros, in TensorFlow's own convolution of the padded image."""
    layer = make(kernel_size, reverse, strict)
    height, width = layer.kernel_size
    missing = height - (height // 2 + 1)
    whole = np.pad(layer.kernel, [[missing, 0] if reverse else [0, missing], [0, 0], [0, 0], [0, 0]])
    x = np.random.default_rng(0).normal(size=[2, 5, 6, 3])
    above, below = height // 2, (height - 1) // 2
    left, right = width // 2, (width - 1) // 2
    sides = [[0, 0], [below, above] if reverse else [above, below], [right, left] if reverse else [left, right], [0, 0]]
    expected = tf.nn.conv2d(np.pad(x, sides), whole, 1, "VALID") + layer.bias
    np.testing.assert_allclose(layer(x), expected, atol=1e-12)


def test_mask_holds_after_any_write_into_the_kernel():
    layer = make(strict=True)
    mask = masks.conv_mask((3, 3), [1, 2, 3], [0, 1, 1, 2], strict=True)
    layer._kernel.assign(np.ones(mask.shape))
    np.testing.assert_array_equal(layer.kernel, mask)


def test_forbidden_entries_get_no_gradient():
    layer = make()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(np.ones([1, 4, 4, 3])) ** 2)
    gradient = tape.gradient(loss, layer._kernel).numpy()
    np.testing.assert_array_equal(gradient != 0, masks.conv_mask((3, 3), [1, 2, 3], [0, 1, 1, 2]))


@pytest.mark.parametrize("shape", [(4, 5, 3), (2, 4, 5, 3), (3, 2, 4, 5, 3), (0, 4, 5, 3)], ids=str)
def test_leading_dimensions_in_all_modes(shape):
    layer = make()
    x = np.random.default_rng(0).normal(size=shape)
    expected = np.reshape([layer(row[None])[0] for row in x.reshape([-1, 4, 5, 3])], [*shape[:-1], 4])
    np.testing.assert_allclose(layer(x), expected, atol=1e-12)
    if 0 not in shape:
        properties.check_modes_agree(layer, x, atol=1e-12)


def test_config_round_trip():
    layer = make((5, 3), reverse=True, use_bias=False, kernel_initializer="he_normal")
    twin = MaskedConv.from_config(layer.get_config())
    twin.build()
    twin._kernel.assign(layer._kernel)
    x = np.random.default_rng(0).normal(size=[2, 4, 5, 3])
    np.testing.assert_array_equal(twin(x), layer(x))
    assert twin.get_config() == layer.get_config()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("leading", [(), (2,), (3, 2)], ids=str)
def test_series_equal_a_causal_convolution(leading, reverse):
    layer = make((3,), reverse, strict=True)
    assert layer.kernel.shape == (3, 3, 4)
    x = np.random.default_rng(0).normal(size=[*leading, 6, 3])
    rows = x.reshape([-1, 6, 3])[:, :: -1 if reverse else 1]
    kernel = layer.kernel.numpy()[:: -1 if reverse else 1]
    expected = tf.nn.conv1d(np.pad(rows, [[0, 0], [2, 0], [0, 0]]), kernel, 1, "VALID") + layer.bias
    expected = np.reshape(expected[:, :: -1 if reverse else 1], [*leading, 6, 4])
    np.testing.assert_allclose(layer(x), expected, atol=1e-12)
    properties.check_modes_agree(layer, x, atol=1e-12)


def test_bad_kernel_size():
    with pytest.raises(ValueError, match="positive integer or one or two of them"):
        MaskedConv([1], [1], kernel_size=(3, 3, 3))
