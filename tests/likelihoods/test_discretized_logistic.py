import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf import VAE, evaluation
from tfp_iaf.layers import ChannelLogScale
from tfp_iaf.likelihoods import DiscretizedLogistic
from tfp_iaf.posteriors import DiagonalGaussian


def test_splits_locations_and_bounded_log_scales():
    distribution = DiscretizedLogistic().distribution(tf.constant([[0.0, 0.25, 0.0, 0.1], [1.0, -1.0, 1e6, -1e6]], tf.float64))
    assert distribution.batch_shape == [2]
    assert distribution.event_shape == [2]
    inner = distribution.distribution
    np.testing.assert_allclose(inner.loc, [[0.5, 0.75], [1.5, -0.5]])
    np.testing.assert_allclose(inner.log_scale[0], [np.log(0.1), np.log(0.1) + 0.1], atol=1e-4)
    np.testing.assert_allclose(inner.log_scale[1], [np.log(0.1) + 6.0, np.log(0.1) - 6.0])
    # The smallest scale is certain of one level.
    sure = DiscretizedLogistic().distribution(tf.constant([[100.5 / 256 - 0.5, -1e6]]))
    assert sure.prob([[100.0]]).numpy() > 0.95


def levels_model(run_eagerly=False):
    keras.utils.set_random_seed(0)
    model = VAE(
        keras.Sequential([keras.layers.Rescaling(1 / 127.5, -1.0), keras.layers.Flatten(), keras.layers.Dense(16, "elu")]),
        DiagonalGaussian(2, seed=0),
        keras.Sequential([keras.layers.Dense(48), keras.layers.Reshape((4, 4, 3)), ChannelLogScale()]),
        likelihood="discretized_logistic",
    )
    model.compile(keras.optimizers.Adam(0.02), run_eagerly=run_eagerly)
    return model


def levels(rows=64):
    """Images of one colour each, with a little noise."""
    rng = np.random.default_rng(0)
    return (rng.integers(20, 236, size=[rows, 1, 1, 3]) + rng.integers(-4, 5, size=[rows, 4, 4, 3])).astype(np.uint8)


def test_a_vae_of_8_bit_images(tmp_path):
    model, x = levels_model(), levels()
    history = model.fit(x, batch_size=32, epochs=40, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0] + 20.0
    assert 3.0 < evaluation.bits_per_dim(model(x)["elbo"], model.data_shape).mean() < 7.5
    log_scales = [weight for weight in model.trainable_weights if weight.name == "log_scale"]
    assert len(log_scales) == 1
    assert (np.abs(log_scales[0].numpy()) > 0.1).all()
    # The learned scale, not the encoder's: the same at every place.
    scales = model.likelihood.distribution(model.decode(tf.zeros([2, 2]))).distribution.log_scale
    np.testing.assert_array_equal(scales, np.broadcast_to(scales[0, 0, 0], scales.shape))
    reconstruction = model.reconstruct(x)
    assert reconstruction.shape == x.shape
    assert np.abs(reconstruction - x).mean() < np.abs(x.mean(axis=0) - x).mean()
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(restored.likelihood, DiscretizedLogistic)
    np.testing.assert_array_equal(restored(x)["elbo"], model(x)["elbo"])


def test_levels_of_every_dtype_are_data():
    model = levels_model(run_eagerly=True)
    for dtype in (np.uint8, np.int64, np.float32, np.float64):
        x = levels(4).astype(dtype)
        x[0] = 0
        x[1] = 255
        model.fit(x, verbose=0)
        model.fit(tf.data.Dataset.from_tensor_slices(x).batch(4), verbose=0)
        assert np.isfinite(model.evaluate(x, verbose=0)).all()


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "NaN or infinite"), (0.5, "from 0 to 255"), (-1.0, "from 0 to 255"), (256.0, "from 0 to 255")],
)
def test_data_that_are_no_levels(value, message):
    model = levels_model(run_eagerly=True)
    x = levels(8).astype(np.float32)
    x[3, 1, 2, 0] = value
    for data in (x, tf.data.Dataset.from_tensor_slices(x).batch(4)):
        with pytest.raises(ValueError, match=message):
            model.fit(data, verbose=0)


def test_a_decoder_of_the_wrong_size():
    model = VAE(keras.layers.Dense(4), DiagonalGaussian(2), keras.layers.Dense(6), likelihood="discretized_logistic")
    with pytest.raises(ValueError, match="2 x 6 = 12 units"):
        model.build((None, 6))


def test_rescaled_data_do_not_train_without_a_word():
    model, x = levels_model(), levels(8)
    with pytest.warns(UserWarning, match="multiply"):
        model.fit((x > 128).astype(np.float32), verbose=0)
    with pytest.raises(ValueError, match="from 0 to 255"):
        model.reconstruct(x / 255.0)
