import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf.layers import ResidualBlock, WeightNormalization

CASES = {
    "identity shortcut": ({"filters": 3}, (5, 6, 3), (5, 6, 3)),
    "more maps": ({"filters": 4}, (5, 6, 3), (5, 6, 4)),
    "stride": ({"filters": 3, "stride": 2}, (5, 6, 3), (3, 3, 3)),
    "upsampling": ({"filters": 2, "upsample": 2}, (5, 6, 3), (10, 12, 2)),
}
weight_norm_or_not = pytest.mark.parametrize("weight_norm", [False, True])


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@weight_norm_or_not
@pytest.mark.parametrize("case", CASES)
def test_shapes_formula_and_gradients(case, weight_norm):
    kwargs, in_shape, out_shape = CASES[case]
    block = ResidualBlock(**kwargs, weight_norm=weight_norm)
    x = images(2, *in_shape)
    assert block(keras.Input(in_shape)).shape == (None, *out_shape)
    assert block.compute_output_shape((None, None, None, 3)) == (None, None, None, kwargs["filters"])
    with tf.GradientTape() as tape:
        y = block(x)
        loss = tf.reduce_sum(tf.sin(y))
    assert y.shape == (2, *out_shape)
    elu = keras.activations.elu
    shortcut = x if case == "identity shortcut" else block.shortcut(x)
    np.testing.assert_allclose(y, shortcut + block.second(elu(block.first(elu(x)))), atol=1e-5)
    assert (block.shortcut is None) == (case == "identity shortcut")
    assert isinstance(block.first, WeightNormalization) == weight_norm
    for weight, gradient in zip(
        block.trainable_weights, tape.gradient(loss, [weight.value for weight in block.trainable_weights])
    ):
        assert np.abs(gradient).max() > 0, weight.path


@pytest.mark.parametrize("kwargs", [{"stride": 2}, {"upsample": 2}])
def test_the_shortcut_skips_no_pixel(kwargs):
    block = ResidualBlock(2, weight_norm=False, **kwargs)
    x = tf.constant(images(1, 4, 4, 3))
    block.build(x.shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = block.shortcut(x)
    assert (np.abs(tape.gradient(y, x)).max(axis=-1) > 0).all()
    assert (np.abs(y) > 0).all()


def test_config_round_trip(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 2)), ResidualBlock(3, upsample=2, activation="relu", weight_norm=False)])
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    x = images(2, 4, 4, 2)
    np.testing.assert_array_equal(restored(x), model(x))
    block = restored.layers[-1]
    assert (block.filters, block.stride, block.upsample, block.weight_norm) == (3, 1, 2, False)
    assert block.activation is keras.activations.relu


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_precision(policy):
    block = ResidualBlock(4, stride=2, dtype=policy)
    assert block(images(2, 4, 4, 2)).dtype == block.compute_dtype
    assert {weight.dtype for weight in block.weights} == {block.variable_dtype}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"filters": 0}, "filters must be"),
        ({"filters": 2, "stride": 1.5}, "stride must be"),
        ({"filters": 2, "upsample": 0}, "upsample must be"),
        ({"filters": 2, "stride": 2, "upsample": 2}, "not both"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ResidualBlock(**kwargs)


def test_bad_inputs():
    with pytest.raises(ValueError, match="takes images"):
        ResidualBlock(2).build((None, 4, 4))


@pytest.mark.long
def test_blocks_train_with_xla_without_building_first():
    model = keras.Sequential([ResidualBlock(2, stride=2), ResidualBlock(1, upsample=2)])
    model.compile("adam", "mse", jit_compile=True)
    losses = model.fit(np.ones([8, 4, 4, 1]), np.zeros([8, 4, 4, 1]), epochs=3, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_a_frozen_block_has_no_trainable_weights():
    x = images(2, 5, 6, 3)
    for layer in (
        ResidualBlock(4, trainable=False),
        WeightNormalization(keras.layers.Dense(4, use_bias=False), trainable=False),
    ):
        layer(x)
        assert layer.weights
        assert not keras.Sequential([layer]).trainable_variables
