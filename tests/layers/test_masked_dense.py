import concurrent.futures
import itertools

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tfp_iaf import masks
from tfp_iaf._compat import tf_variables
from tfp_iaf.layers import MaskedDense
from tfp_iaf.layers.masked_dense import BLOCK_SIZE, MAX_BLOCKS

# From here on kernels are cut.
CUT_FROM = 2 * BLOCK_SIZE


def test_kernel_is_masked_in_the_forward_pass():
    layer = MaskedDense([1, 2, 3], [2, 2, 1, 3])
    layer.build()
    layer._kernels[0].assign(np.ones([3, 4]))
    x = np.array([[1.0, 10.0, 100.0]], np.float32)
    np.testing.assert_array_equal(layer(x), [[11.0, 11.0, 1.0, 111.0]])


def test_regularizers_and_weight_decay_leave_masked_entries_out():
    layer = MaskedDense([1, 2, 3], [2, 2, 1, 3], kernel_regularizer="l2")
    layer.build()
    mask = masks.degree_mask(layer.in_degrees, layer.out_degrees)
    np.testing.assert_array_equal(layer._kernels[0].numpy() != 0, mask)
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.1)
    model = keras.Sequential([layer])
    model.compile(optimizer, "mse")
    model.fit(np.ones([8, 3]), np.ones([8, 4]), verbose=0)
    np.testing.assert_array_equal(layer._kernels[0].numpy() != 0, mask)


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
    """The same layer, multiplied with one kernel and in blocks."""
    layers = []
    for count in (1, num_blocks):
        layer = MaskedDense(in_degrees, out_degrees, num_blocks=count, dtype="float64", **kwargs)
        layer.build()
        properties.randomize(layer)
        layers.append(layer)
    # As a file would.
    store = {}
    layers[0].save_own_variables(store)
    layers[1].load_own_variables({name: np.asarray(value) for name, value in store.items()})
    return layers


DEGREES = {
    "rising": ([1, 2, 3, 4, 5], [1, 1, 2, 3, 4, 4, 5]),
    "falling inputs": ([5, 4, 3, 2, 1], [1, 1, 2, 3, 4, 4, 5]),
    "falling outputs": ([1, 2, 3, 4, 5], [5, 4, 4, 3, 2, 1, 1]),
    "falling": ([5, 4, 3, 2, 1], [5, 4, 4, 3, 2, 1, 1]),
    "nothing allowed at first": ([2, 3, 4], [1, 1, 2, 3]),
    "nothing allowed": ([5, 6], [1, 2, 3, 3]),
    "rows that nothing reads": ([1, 2, 3, 4], [1, 1, 2]),
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("num_blocks", [2, 3])
@pytest.mark.parametrize("degrees", DEGREES.values(), ids=DEGREES)
def test_blocks_equal_the_whole_kernel_with_their_gradients(degrees, num_blocks, strict):
    whole, blocked = pair(*degrees, num_blocks, strict=strict)
    np.testing.assert_array_equal(blocked.kernel, whole.kernel)
    np.testing.assert_allclose(blocked.squared_norms(tf.float64), np.square(whole.kernel).sum(axis=0), atol=1e-12)
    for leading in ((), (6,), (2, 3)):
        x = tf.constant(np.random.default_rng(0).normal(size=[*leading, len(degrees[0])]))
        results = []
        for layer in (whole, blocked):
            with tf.GradientTape(persistent=True) as outer:
                outer.watch(x)
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    y = layer(x)
                    loss = tf.reduce_sum(tf.sin(y)) + tf.reduce_sum(x)
                sources = [x, *tf_variables(layer.weights)]
                by_x, *by_kernels, by_bias = tape.gradient(loss, sources, unconnected_gradients="zero")
                slope = tf.reduce_sum(by_x**2)
            by_kernel = np.zeros(layer.kernel.shape)
            for gradient, block in zip(by_kernels, itertools.chain(*layer._blocks), strict=True):
                by_kernel[block.rows, block.columns] = gradient
            results.append((y, by_x, by_kernel, by_bias, outer.gradient(slope, x, unconnected_gradients="zero")))
        for ours, other in zip(*results):
            np.testing.assert_allclose(ours, other, atol=1e-12)


def test_degrees_that_are_no_exact_floats_are_told_apart():
    layer = MaskedDense([2**24 + 1, 2**24], [2**24], kernel_initializer="ones", use_bias=False)
    np.testing.assert_array_equal(layer(np.eye(2, dtype=np.float32)), [[0.0], [1.0]])


@pytest.mark.parametrize("order", [1, -1])
def test_masks_of_blocks_hold_after_any_write_into_the_weights(order):
    layer = MaskedDense([1, 2, 3, 4, 5][::order], [1, 1, 2, 2, 3, 4, 5][::order], num_blocks=3, strict=True)
    layer.build()
    for weight in layer.weights:
        weight.assign(tf.ones_like(weight))
    mask = masks.degree_mask(layer.in_degrees, layer.out_degrees, strict=True)
    np.testing.assert_array_equal(layer.kernel, mask)
    np.testing.assert_array_equal(layer(np.eye(5, dtype=np.float32)) - layer.bias, mask)


def test_files_do_not_depend_on_blocks(tmp_path):
    """One kernel and one bias, below and above the size from which kernels are cut, and for any cut."""
    x = np.random.default_rng(0).normal(size=[2, CUT_FROM]).astype("float32")
    models, contents = {}, {}
    for size, num_blocks in ((CUT_FROM - 1, None), (CUT_FROM, None), (CUT_FROM, 1), (CUT_FROM, 7)):
        layer = MaskedDense(np.arange(size) // 9, np.arange(size) // 9, num_blocks=num_blocks)
        model = models[size, num_blocks] = keras.Sequential([keras.Input((size,)), layer])
        path = tmp_path / f"{size}_{num_blocks}.weights.h5"
        model.save_weights(path)
        with h5py.File(path) as file:
            contents[size, num_blocks] = {key: file[key].shape for key in all_keys(file) if hasattr(file[key], "shape")}
    for (size, _), content in contents.items():
        assert sorted(content.values()) == [(size,), (size, size)]
        assert list(content) == list(contents[CUT_FROM, 1])
    for num_blocks in (None, 1, 7):
        for other in (None, 1, 7):
            models[CUT_FROM, other].load_weights(tmp_path / f"{CUT_FROM}_{num_blocks}.weights.h5")
        expected = models[CUT_FROM, num_blocks](x)
        for other in (None, 1, 7):
            np.testing.assert_allclose(models[CUT_FROM, other](x), expected, atol=1e-4)
    with pytest.raises(ValueError, match="weights of shapes"):
        models[CUT_FROM - 1, None].load_weights(tmp_path / f"{CUT_FROM}_7.weights.h5")


@pytest.mark.parametrize(
    ("size", "num_kernels"), [(CUT_FROM - 1, 1), (CUT_FROM, 3), (MAX_BLOCKS * BLOCK_SIZE, 7), (5 * BLOCK_SIZE, 7)]
)
def test_wide_kernels_are_cut(size, num_kernels):
    """n blocks on the boundary, and one of all full ones in every block of columns but the first."""
    layer = MaskedDense(np.arange(size), np.arange(size), use_bias=False)
    layer.build()
    assert len(layer.weights) == num_kernels


def all_keys(file):
    keys = []
    file.visit(keys.append)
    return keys


def test_training_goes_on_from_a_file(tmp_path):
    """With the optimizer's state of every block."""

    def fit(model, seed):
        x = np.random.default_rng(seed).normal(size=[16, CUT_FROM]).astype("float32")
        model.fit(x, x, verbose=0, shuffle=False)
        return model.get_weights()

    degrees = np.arange(CUT_FROM)
    model = keras.Sequential([keras.Input((CUT_FROM,)), MaskedDense(degrees, degrees, strict=True)])
    model.compile("adam", "mse")
    fit(model, 0)
    model.save(tmp_path / "model.keras")
    unbroken = fit(model, 1)
    for ours, resumed in zip(unbroken, fit(keras.models.load_model(tmp_path / "model.keras"), 1)):
        np.testing.assert_array_equal(ours, resumed)


@pytest.mark.parametrize(
    "kwargs", [{"kernel_constraint": "max_norm"}, {"kernel_regularizer": keras.regularizers.OrthogonalRegularizer()}]
)
def test_what_sees_the_whole_kernel_gets_it(kwargs):
    degrees = np.arange(CUT_FROM)
    layer = MaskedDense(degrees, degrees, **kwargs)
    layer.build()
    assert [weight.shape for weight in layer.weights] == [layer.kernel.shape, layer.bias.shape]
    with pytest.raises(ValueError, match="num_blocks must be 1 or None with"):
        MaskedDense(degrees, degrees, num_blocks=2, **kwargs)


def test_blocks_draw_what_the_whole_kernel_draws():
    """The initializer's fans are those of the whole kernel."""
    degrees = np.arange(CUT_FROM)
    layers = [
        MaskedDense(degrees, degrees, num_blocks=count, kernel_initializer=keras.initializers.HeNormal(1)) for count in (1, 4)
    ]
    for layer in layers:
        layer.build()
    np.testing.assert_array_equal(layers[0].kernel, layers[1].kernel)
    assert len(layers[1].weights) == 2 * 4


@pytest.mark.parametrize("in_order", [1, -1])
@pytest.mark.parametrize("out_order", [1, -1])
def test_large_kernels_leave_out_nearly_half_of_the_work(in_order, out_order):
    """Counted in the traced products."""
    size = MAX_BLOCKS * BLOCK_SIZE
    degrees = np.arange(size)
    layer = MaskedDense(degrees[::in_order], degrees[::out_order], use_bias=False)
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec([8, size])).graph
    products = [op for op in graph.get_operations() if op.type == "MatMul"]
    assert sum(np.prod(op.inputs[1].shape) for op in products) == 5 / 8 * size**2


def test_unsorted_degrees_are_multiplied_whole():
    degrees = np.random.default_rng(0).permutation(CUT_FROM)
    layer = MaskedDense(degrees, np.sort(degrees))
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec([8, CUT_FROM])).graph
    assert len([op for op in graph.get_operations() if op.type == "MatMul"]) == 1


@pytest.mark.long
def test_two_threads_build_trace_and_differentiate_at_once():
    """Without a custom gradient there is nothing that one thread could take from the other."""
    size = CUT_FROM
    x = np.random.default_rng(0).normal(size=[3, size]).astype("float32")

    def gradients(seed):
        layer = MaskedDense(np.arange(size), np.arange(size), kernel_initializer=keras.initializers.HeNormal(seed))
        layer.build()

        @tf.function
        def gradient(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(layer(x) ** 2)
            return tape.gradient(loss, x)

        result, kernel = gradient(tf.constant(x)), layer.kernel.numpy()
        np.testing.assert_allclose(result, 2.0 * x @ kernel @ kernel.T, atol=1e-2, rtol=1e-3)
        return True

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(gradients, range(24)))


@pytest.mark.parametrize("argument", ["kernel", "bias"])
def test_regularizers_and_constraints(argument):
    kwargs = {f"{argument}_regularizer": keras.regularizers.L1(0.5), f"{argument}_constraint": "non_neg"}
    layer = MaskedDense([1, 2, 3], [1, 2, 3], bias_initializer="ones", **kwargs)
    layer.build()
    weight = layer.kernel if argument == "kernel" else layer.bias
    assert float(sum(layer.losses)) == pytest.approx(0.5 * np.abs(weight).sum())
    model = keras.Sequential([layer])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(np.ones([8, 3]), -np.ones([8, 3]) * 9.0, verbose=0)
    weight, other = layer.kernel.numpy(), layer.bias.numpy()
    weight, other = (weight, other) if argument == "kernel" else (other, weight)
    assert weight.min() >= 0 > other.min()
    twin = MaskedDense.from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()


@pytest.mark.parametrize("num_blocks", [0, 1.5, 4])
def test_bad_number_of_blocks(num_blocks):
    with pytest.raises(ValueError, match="num_blocks must be"):
        MaskedDense([1, 2], [1, 2, 3], num_blocks=num_blocks)
    with pytest.raises(ValueError, match="num_blocks must be 1 for degrees"):
        MaskedDense([1, 2], [1, 3, 2], num_blocks=2)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16", "float64"])
def test_blocks_under_every_policy(policy):
    layer = MaskedDense([1, 2, 3], [1, 2, 3], num_blocks=3, dtype=policy)
    assert layer(np.ones([2, 3])).dtype.name == layer.compute_dtype
