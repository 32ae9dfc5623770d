import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf import VAE
from tfp_iaf.layers import ResidualBlock, WeightNormalization, initialize_weight_normalization, mnist_decoder, mnist_encoder
from tfp_iaf.posteriors import DiagonalGaussian

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
    for preset in (mnist_encoder, mnist_decoder):
        with pytest.raises(ValueError, match="version must be one of"):
            preset("second")
    with pytest.raises(ValueError, match="data_shape must be"):
        mnist_decoder(data_shape=(32, 32))


# Sizes of the images between the encoder's blocks, and their maps.
SIZES = {
    "first": [(28, 16), (28, 16), (14, 32), (14, 32), (7, 32), (7, 32)],
    "final": [(14, 16), (14, 16), (7, 32), (7, 32), (4, 32)],
}


@pytest.mark.parametrize("version", SIZES)
def test_presets_have_the_papers_shapes_and_mirror_one_another(version):
    encoder, decoder = mnist_encoder(version), mnist_decoder(version)
    shapes = []
    for model, inputs in ((encoder, keras.Input((28, 28))), (decoder, keras.Input((32,)))):
        outputs = inputs
        for layer in model.layers:
            outputs = layer(outputs)
            if len(outputs.shape) == 4 and not isinstance(layer, keras.layers.ELU):
                shapes.append((model.name, type(layer).__name__, outputs.shape[1:]))
    encoded = [shape for name, kind, shape in shapes if name == "mnist_encoder" and kind == "ResidualBlock"]
    assert encoded == [(size, size, maps) for size, maps in SIZES[version]]
    decoded = [shape for name, _, shape in shapes if name == "mnist_decoder"]
    # A 4 x 4 image goes to 8 x 8, and is cut to 7 x 7.
    decoded = [shape for shape in decoded if shape[0] != 8]
    assert decoded == [*encoded[::-1], (28, 28, 16), (28, 28, 1)]
    wrapped = [layer.layer for model in (encoder, decoder) for layer in model.layers if hasattr(layer, "layer")]
    dense = [layer.units for layer in wrapped if isinstance(layer, keras.layers.Dense)]
    assert dense == [450, 450, np.prod(encoded[-1])]


@pytest.mark.parametrize("data_shape", [(28, 28), (28, 28, 1)], ids=str)
@weight_norm_or_not
def test_presets_take_and_give_images(data_shape, weight_norm):
    model = VAE(
        mnist_encoder(weight_norm=weight_norm),
        DiagonalGaussian(4),
        mnist_decoder(weight_norm=weight_norm, data_shape=data_shape),
    )
    model.build((None, *data_shape))
    assert model.decode(np.zeros([3, 4])).shape == (3, *data_shape)
    assert any(isinstance(layer, WeightNormalization) for layer in model._flatten_layers()) == weight_norm


def test_a_vae_of_presets_trains_and_saves(tmp_path):
    keras.utils.set_random_seed(0)
    model = VAE(mnist_encoder(), DiagonalGaussian(4, seed=0), mnist_decoder())
    model.compile(keras.optimizers.Adamax(5e-3))
    # A bright square somewhere.
    x = np.zeros([32, 28, 28], np.uint8)
    for image, (i, j) in zip(x, np.random.default_rng(0).integers(20, size=[32, 2])):
        image[i : i + 8, j : j + 8] = 1
    layers = initialize_weight_normalization(model, x)
    assert set(layers) == {layer for layer in model._flatten_layers() if isinstance(layer, WeightNormalization)}
    before = [weight.numpy() for weight in model.trainable_weights]
    elbo = model.fit(x, batch_size=16, epochs=6, verbose=0).history["elbo"]
    assert elbo[-1] > elbo[0] + 50.0
    for weight, start in zip(model.trainable_weights, before):
        assert np.abs(weight.numpy() - start).max() > 0, weight.path
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    for values, expected in zip(restored(x).values(), model(x).values()):
        np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_blocks_train_with_xla_without_building_first():
    decoder = [keras.layers.Dense(8), keras.layers.Reshape((2, 2, 2)), ResidualBlock(1, upsample=2)]
    model = VAE(
        keras.Sequential([ResidualBlock(2, stride=2), keras.layers.Flatten()]), DiagonalGaussian(4), keras.Sequential(decoder)
    )
    model.compile("adam", jit_compile=True)
    assert np.isfinite(model.fit(np.zeros([8, 4, 4, 1]), verbose=0).history["loss"]).all()
