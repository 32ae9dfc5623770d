import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf import VAE, evaluation
from tfp_iaf.layers import ChannelLogScale
from tfp_iaf.likelihoods import _functions as likelihoods
from tfp_iaf.posteriors import DiagonalGaussian


def test_bernoulli_is_stable_at_extreme_logits():
    logits = tf.constant([[-200.0, 200.0]])
    np.testing.assert_allclose(likelihoods.bernoulli(logits).log_prob([[0.0, 1.0]]), [0.0])
    np.testing.assert_allclose(likelihoods.bernoulli(logits).log_prob([[1.0, 1.0]]), [-200.0])


def test_bernoulli_sums_to_one():
    logits = tf.constant(np.random.default_rng(0).normal(size=[1, 3]))
    outcomes = [[float(bit) for bit in f"{i:03b}"] for i in range(8)]
    total = sum(np.exp(likelihoods.bernoulli(logits).log_prob(tf.constant([outcome], tf.float64)))[0] for outcome in outcomes)
    assert total == pytest.approx(1.0)


def test_normal_splits_locations_and_scales():
    distribution = likelihoods.normal(tf.constant([[1.0, 2.0, 0.0, 0.0]]))
    np.testing.assert_allclose(distribution.mean(), [[1.0, 2.0]])
    np.testing.assert_allclose(distribution.stddev(), [[1.0, 1.0]], rtol=1e-4)


@pytest.mark.parametrize("name", ["bernoulli", "discretized_logistic", "normal"])
def test_names_round_trip(name):
    assert likelihoods.serialize(likelihoods.get(name)) == name


def test_discretized_logistic_splits_locations_and_bounded_log_scales():
    distribution = likelihoods.discretized_logistic(tf.constant([[0.0, 0.25, 0.0, 0.1], [1.0, -1.0, 1e6, -1e6]], tf.float64))
    assert distribution.batch_shape == [2]
    assert distribution.event_shape == [2]
    inner = distribution.distribution
    np.testing.assert_allclose(inner.loc, [[0.5, 0.75], [1.5, -0.5]])
    np.testing.assert_allclose(inner.log_scale[0], [np.log(0.1), np.log(0.1) + 0.1], atol=1e-4)
    np.testing.assert_allclose(inner.log_scale[1], [np.log(0.1) + 6.0, np.log(0.1) - 6.0])
    # The smallest scale is certain of one level.
    sure = likelihoods.discretized_logistic(tf.constant([[100.5 / 256 - 0.5, -1e6]]))
    assert sure.prob([[100.0]]).numpy() > 0.95


@pytest.mark.parametrize("name", ["normal", "discretized_logistic"])
def test_an_odd_last_axis(name):
    with pytest.raises(ValueError, match="must be even"):
        likelihoods.get(name)(tf.zeros([2, 3]))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "float64"])
def test_channel_log_scale(policy):
    layer = ChannelLogScale(dtype=policy)
    locations = np.random.default_rng(0).normal(size=[2, 4, 5, 3]).astype(layer.compute_dtype)
    assert layer(keras.Input((4, 5, 3))).shape == (None, 4, 5, 6)
    layer.log_scale.assign([0.5, -1.0, 2.0])
    outputs = layer(locations)
    assert outputs.dtype == layer.compute_dtype
    np.testing.assert_array_equal(outputs[..., :3], locations)
    np.testing.assert_array_equal(tf.cast(outputs[..., 3:], "float32"), np.broadcast_to([0.5, -1.0, 2.0], [2, 4, 5, 3]))
    with pytest.raises(ValueError, match="channels known"):
        layer.build((None, 4, None))


def levels_model():
    keras.utils.set_random_seed(0)
    model = VAE(
        keras.Sequential([keras.layers.Rescaling(1 / 127.5, -1.0), keras.layers.Flatten(), keras.layers.Dense(16, "elu")]),
        DiagonalGaussian(2, seed=0),
        keras.Sequential([keras.layers.Dense(48), keras.layers.Reshape((4, 4, 3)), ChannelLogScale()]),
        likelihood="discretized_logistic",
    )
    model.compile(keras.optimizers.Adam(0.02))
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
    scales = model.likelihood(model.decode(tf.zeros([2, 2]))).distribution.log_scale
    np.testing.assert_array_equal(scales, np.broadcast_to(scales[0, 0, 0], scales.shape))
    reconstruction = model.reconstruct(x)
    assert reconstruction.shape == x.shape
    assert np.abs(reconstruction - x).mean() < np.abs(x.mean(axis=0) - x).mean()
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    assert restored.likelihood is likelihoods.discretized_logistic
    np.testing.assert_array_equal(restored(x)["elbo"], model(x)["elbo"])


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_levels_of_every_dtype_are_data(dtype):
    model, x = levels_model(), levels(4).astype(dtype)
    x[0] = 0
    x[1] = 255
    model.fit(x, verbose=0)
    model.fit(tf.data.Dataset.from_tensor_slices(x).batch(4), verbose=0)
    assert np.isfinite(model.evaluate(x, verbose=0)).all()


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "NaN or infinite"), (0.5, "from 0 to 255"), (-1.0, "from 0 to 255"), (256.0, "from 0 to 255")],
)
@pytest.mark.parametrize("as_dataset", [False, True])
def test_data_that_are_no_levels(value, message, as_dataset):
    model = levels_model()
    x = levels(8).astype(np.float32)
    x[3, 1, 2, 0] = value
    with pytest.raises(ValueError, match=message):
        model.fit(tf.data.Dataset.from_tensor_slices(x).batch(4) if as_dataset else x, verbose=0)


def test_a_decoder_of_the_wrong_size():
    model = VAE(keras.layers.Dense(4), DiagonalGaussian(2), keras.layers.Dense(6), likelihood="discretized_logistic")
    with pytest.raises(ValueError, match="does not fit data of shape"):
        model.build((None, 6))
