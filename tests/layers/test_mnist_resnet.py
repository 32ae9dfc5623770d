import keras
import numpy as np
import pytest

from tfp_iaf import VAE
from tfp_iaf.layers import WeightNormalization, initialize_weight_normalization, mnist_decoder, mnist_encoder
from tfp_iaf.posteriors import DiagonalGaussian

weight_norm_or_not = pytest.mark.parametrize("weight_norm", [False, True])


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


@pytest.mark.long
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


def test_bad_arguments():
    for preset in (mnist_encoder, mnist_decoder):
        with pytest.raises(ValueError, match="version must be one of"):
            preset("second")
    with pytest.raises(ValueError, match="data_shape must be"):
        mnist_decoder(data_shape=(32, 32))
