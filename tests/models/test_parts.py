import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import VAE
from tfp_iaf.models._parts import bounded_activation
from tfp_iaf.posteriors import DiagonalGaussian

tfd = tfp.distributions
layers = keras.layers


def sequential(*parts):
    model = keras.Sequential(list(parts))
    model.build((None, 4))
    return model


def functional(*parts):
    inputs = x = keras.Input((4,))
    for part in parts:
        x = part(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize("make", [sequential, functional])
@pytest.mark.parametrize(
    "parts",
    [
        lambda: [layers.Dense(6, "sigmoid")],
        lambda: [layers.Dense(6, "tanh"), layers.Rescaling(3.0)],
        lambda: [layers.Dense(6), layers.Softmax()],
        lambda: [layers.Dense(6), layers.Activation("sigmoid"), layers.Reshape((3, 2))],
        lambda: [layers.Dense(6, "relu")],
        lambda: [layers.Dense(6), layers.ReLU(max_value=6.0), layers.Dropout(0.1)],
    ],
)
def test_bounded(make, parts):
    assert bounded_activation(make(*parts()))


@pytest.mark.parametrize("make", [sequential, functional])
@pytest.mark.parametrize(
    "parts",
    [
        lambda: [layers.Dense(6)],
        lambda: [layers.Dense(6, "sigmoid"), layers.Dense(6), layers.Reshape((3, 2))],
        lambda: [layers.Dense(6), layers.LeakyReLU()],
        lambda: [layers.Dense(6), layers.BatchNormalization()],
        # There 1e6 overflows.
        lambda: [layers.Dense(6), layers.Reshape((3, 2), dtype="mixed_float16")],
    ],
)
def test_unbounded(make, parts):
    assert bounded_activation(make(*parts())) == ""


@keras.saving.register_keras_serializable("tests.parts")
class Opaque(layers.Layer):
    def __init__(self, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.Dense(6)
        self.final = activation

    def build(self, input_shape):
        self.inner.build(input_shape)

    def call(self, z):
        return keras.activations.get(self.final)(self.inner(z))


def vae(decoder, likelihood="bernoulli", encoder=None):
    model = VAE(encoder or layers.Dense(8), DiagonalGaussian(2, seed=0), decoder, likelihood=likelihood)
    model.compile("adam")
    return model


X = np.eye(6, dtype=np.float32)


@pytest.mark.parametrize("likelihood", ["bernoulli", "normal", "discretized_logistic"])
def test_a_bounded_decoder_is_refused_before_training(likelihood):
    size = 6 if likelihood == "bernoulli" else 12
    with pytest.raises(ValueError, match="ends in sigmoid, which is bounded") as error:
        vae(keras.Sequential([layers.Dense(size, "sigmoid")]), likelihood).fit(X, verbose=0)
    assert "\n" not in str(error.value)


def test_an_opaque_decoder_is_looked_at_once():
    assert bounded_activation(Opaque()) is None
    model = vae(Opaque("sigmoid"))
    with pytest.warns(UserWarning, match=r"lie in \[0, 1\]") as caught:
        model.fit(X, verbose=0)
        model.fit(X, verbose=0)
    assert len(caught) == 1
    vae(Opaque()).fit(X, verbose=0)


def test_raw_data_under_a_normal_likelihood_are_warned_about_and_do_not_blow_up():
    raw = 1e4 * (1.0 + np.random.default_rng(0).normal(size=[256, 6]))
    model = vae(layers.Dense(12), "normal")
    for x in (raw, tf.data.Dataset.from_tensor_slices(raw).batch(32)):
        with pytest.warns(UserWarning, match="standardized"):
            history = model.fit(x, verbose=0, epochs=2).history
        assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < 1e15


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (lambda: functional_with_outputs(list), "must give one tensor, got a list"),
        (lambda: functional_with_outputs(dict), "must give one tensor, got a dict"),
    ],
)
def test_an_encoder_with_several_outputs(encoder, message):
    with pytest.raises(ValueError, match=message) as error:
        vae(layers.Dense(6), encoder=encoder()).fit(X, verbose=0)
    assert "\n" not in str(error.value)


def functional_with_outputs(kind):
    inputs = keras.Input((6,))
    outputs = [layers.Dense(2)(inputs), layers.Dense(2)(inputs)]
    return keras.Model(inputs, outputs if kind is list else {"a": outputs[0], "b": outputs[1]})


def test_keras_2_parts():
    tf_keras = pytest.importorskip("tf_keras")
    with pytest.raises(ValueError, match=r"Keras 2 \(tf_keras\)"):
        VAE(tf_keras.Sequential([tf_keras.layers.Dense(3)]), DiagonalGaussian(2), layers.Dense(6))


def test_a_likelihood_with_trainable_variables():
    scale = tf.Variable(1.0)
    with pytest.raises(ValueError, match="reads trainable variables"):
        vae(layers.Dense(6), lambda p: tfd.Independent(tfd.Normal(p, scale), 1)).build((None, 6))


def test_a_likelihood_that_makes_no_distribution():
    with pytest.raises(ValueError, match=r"must return a tfd\.Distribution, got EagerTensor"):
        vae(layers.Dense(6), lambda p: p).build((None, 6))


@pytest.mark.parametrize("part", ["encoder", "likelihood"])
def test_save_refuses_what_does_not_load_again(part, tmp_path):
    def gaussian(parameters):
        return tfd.Independent(tfd.Normal(parameters, 1.0), 1)

    if part == "likelihood":
        model = vae(layers.Dense(6), gaussian)
    else:
        model = vae(layers.Dense(6), encoder=keras.Sequential([layers.Lambda(lambda x: 2.0 * x), layers.Dense(3)]))
    model.build((None, 6))
    with pytest.raises(ValueError, match=r"cannot be written|not loaded again") as error:
        model.save(tmp_path / "model.keras")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "model.keras").exists()


def test_save_refuses_the_old_format(tmp_path):
    with pytest.raises(ValueError, match=r"save it as a \.keras file"):
        vae(layers.Dense(6)).save(tmp_path / "model.h5")


def test_a_small_factor_at_the_end_of_a_decoder_is_not_a_bound():
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(6), keras.layers.Rescaling(1e-4)])
    assert bounded_activation(decoder) == ""
    for activation in ("sigmoid", "tanh", "relu", "softplus", "softsign"):
        decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(6), keras.layers.Activation(activation)])
        assert bounded_activation(decoder) == activation
