import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tfp_iaf import masks
from tfp_iaf.layers import MaskedDense
from tfp_iaf.layers.masked_dense import BLOCK_THRESHOLD


def test_kernel_is_masked_in_the_forward_pass():
    layer = MaskedDense([1, 2, 3], [2, 2, 1, 3])
    layer.build()
    layer.kernels[0].assign(np.ones([3, 4]))
    x = np.array([[1.0, 10.0, 100.0]], np.float32)
    np.testing.assert_array_equal(layer(x), [[11.0, 11.0, 1.0, 111.0]])


def test_regularizers_and_weight_decay_leave_masked_entries_out():
    layer = MaskedDense([1, 2, 3], [2, 2, 1, 3], kernel_regularizer="l2")
    layer.build()
    mask = masks.degree_mask(layer.in_degrees, layer.out_degrees)
    np.testing.assert_array_equal(layer.kernels[0].numpy() != 0, mask)
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.1)
    model = keras.Sequential([layer])
    model.compile(optimizer, "mse")
    model.fit(np.ones([8, 3]), np.ones([8, 4]), verbose=0)
    np.testing.assert_array_equal(layer.kernels[0].numpy() != 0, mask)


def test_config_round_trip():
    layer = MaskedDense([1, 2], [1, 2, 3], strict=True, use_bias=False, kernel_regularizer="l2")
    twin = MaskedDense.from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()
    layer.build()
    twin.build()
    twin.set_weights(layer.get_weights())
    np.testing.assert_array_equal(twin.kernel, layer.kernel)
    assert len(twin.weights) == 1


def test_symbolic_shape():
    assert MaskedDense([1, 2], [1, 2, 3])(keras.Input((7, 2))).shape == (None, 7, 3)


def pair(in_degrees, out_degrees, num_blocks, **kwargs):
    """The same layer in one kernel and in blocks."""
    layers = []
    for count in (1, num_blocks):
        layer = MaskedDense(in_degrees, out_degrees, num_blocks=count, dtype="float64", **kwargs)
        layer.build()
        layers.append(layer)
    whole, blocked = layers
    properties.randomize(blocked)
    whole.kernels[0].assign(blocked.kernel)
    whole.bias.assign(blocked.bias)
    return whole, blocked


DEGREES = {
    "sorted": ([1, 2, 3, 4, 5], [1, 1, 2, 3, 4, 4, 5]),
    "unsorted": ([3, 1, 5, 2, 4], [4, 1, 5, 2, 2, 3, 1]),
    "nothing allowed at first": ([2, 3, 4], [1, 1, 2, 3]),
    "rows that nothing reads": ([1, 2, 3, 4], [1, 1, 2]),
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("num_blocks", [2, 3])
@pytest.mark.parametrize("degrees", DEGREES.values(), ids=DEGREES)
@pytest.mark.parametrize("leading", [(), (6,), (2, 3)], ids=str)
def test_blocks_equal_the_whole_kernel_with_their_gradients(degrees, num_blocks, strict, leading):
    whole, blocked = pair(*degrees, num_blocks, strict=strict)
    x = tf.constant(np.random.default_rng(0).normal(size=[*leading, len(degrees[0])]))
    results = []
    for layer in (whole, blocked):
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x)
                loss = tf.reduce_sum(tf.sin(y))
            by_x, *by_kernels, by_bias = tape.gradient(loss, [x, *layer.trainable_variables])
            slope = tf.reduce_sum(by_x**2)
        results.append((y, by_x, by_bias, outer.gradient(slope, x)))
        squares = [tf.reduce_sum(tf.square(gradient)) for gradient in by_kernels]
        results[-1] += (sum(squares),)
    for ours, other in zip(*results):
        np.testing.assert_allclose(ours, other, atol=1e-12)


def test_masks_of_blocks_hold_after_any_write_into_the_weights():
    layer = MaskedDense([3, 1, 5, 2, 4], [4, 1, 5, 2, 2, 3, 1], num_blocks=3, strict=True)
    layer.build()
    for weight in layer.weights:
        weight.assign(tf.ones_like(weight))
    mask = masks.degree_mask(layer.in_degrees, layer.out_degrees, strict=True)
    np.testing.assert_array_equal(layer.kernel, mask)
    np.testing.assert_array_equal(layer(np.eye(5, dtype=np.float32)) - layer.bias, mask)


def test_blocks_start_as_the_whole_kernel_does():
    initial = []
    for count in (1, 4):
        layer = MaskedDense(
            np.arange(40) // 4, np.arange(40)[::-1] // 4, num_blocks=count, kernel_initializer=keras.initializers.HeNormal(3)
        )
        layer.build()
        initial.append(layer.kernel)
    np.testing.assert_array_equal(*initial)


def test_blocks_save_memory_where_they_pay():
    size = BLOCK_THRESHOLD
    degrees = np.arange(size)
    for num_outputs, share in ((size, 5 / 8), (size - 1, 1.0)):
        layer = MaskedDense(degrees, degrees[:num_outputs], use_bias=False)
        layer.build()
        assert layer.count_params() == pytest.approx(share * size * num_outputs, rel=1e-3)


@pytest.mark.parametrize("num_blocks", [0, 1.5, 4])
def test_bad_number_of_blocks(num_blocks):
    with pytest.raises(ValueError, match="num_blocks must be"):
        MaskedDense([1, 2], [1, 2, 3], num_blocks=num_blocks)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16", "float64"])
def test_blocks_under_every_policy(policy):
    layer = MaskedDense([1, 2, 3], [1, 2, 3], num_blocks=3, dtype=policy)
    assert layer(np.ones([2, 3])).dtype.name == layer.compute_dtype
