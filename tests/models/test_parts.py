import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import VAE
from tfp_iaf.models._errors import first_line
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
    with pytest.raises(ValueError, match="ends in sigmoid, which does not reach all real numbers") as error:
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


@pytest.mark.parametrize(
    ("activation", "found"), [("tanh", r"lie in \[-1, 1\]"), ("relu", "are at least 0"), ("softplus", "are at least 0")]
)
def test_other_bounds_of_an_opaque_decoder(activation, found):
    inputs = keras.Input((2,))
    outputs = getattr(keras.ops, activation)(layers.Dense(12)(inputs))
    with pytest.warns(UserWarning, match=f"All outputs of the decoder {found}"):
        vae(keras.Model(inputs, outputs), "normal").fit(X, verbose=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: [layers.Dense(16, "tanh"), layers.Dense(12)],
        lambda: [layers.Dense(16), layers.LayerNormalization(), layers.Dense(12)],
        lambda: [layers.Dense(12, kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3))],
    ],
    ids=["tanh inside", "normalized", "small"],
)
def test_opaque_decoders_that_end_in_a_linear_layer_are_taken(make):
    class Decoder(layers.Layer):
        def __init__(self):
            super().__init__()
            self.parts = make()

        def build(self, shape):
            for part in self.parts:
                part.build(shape)
                shape = part.compute_output_shape(shape)

        def call(self, z):
            for part in self.parts:
                z = part(z)
            return z

    vae(Decoder(), "normal").fit(X, verbose=0)


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


@pytest.mark.parametrize(
    ("likelihood", "data_shape", "decoder", "remedy"),
    [
        ("normal", (6,), lambda: layers.Dense(6), r"takes \(12,\): give its last layer 2 x 6 = 12 units\.$"),
        ("normal", (6,), lambda: layers.Dense(7), r"takes \(12,\): give its last layer 2 x 6 = 12 units\.$"),
        ("normal", (1,), lambda: layers.Dense(1), r"takes \(2,\): give its last layer 2 x 1 = 2 units\.$"),
        ("bernoulli", (6,), lambda: layers.Dense(5), r"takes \(6,\): give its last layer 6 units\.$"),
        ("bernoulli", (2, 3), lambda: layers.Dense(6), r"end it in keras\.layers\.Reshape\(\(2, 3\)\)\.$"),
        ("bernoulli", (2, 3), lambda: layers.Dense(5), r"Dense\(6\) and keras\.layers\.Reshape\(\(2, 3\)\)\.$"),
        ("normal", (6,), lambda: layers.Reshape((2, 1)), r"Flatten\(\) and keras\.layers\.Dense\(12\)\.$"),
        (
            "discretized_logistic",
            (2, 1, 3),
            lambda: keras.Sequential([layers.Dense(6), layers.Reshape((2, 1, 3))]),
            r"takes \(2, 1, 6\): give its last layer 2 x 3 = 6 channels\.$",
        ),
    ],
)
def test_a_decoder_of_the_wrong_size_is_told_the_right_one(likelihood, data_shape, decoder, remedy):
    encoder = keras.Sequential([layers.Flatten(), layers.Dense(4)])
    with pytest.raises(ValueError, match=remedy) as error:
        vae(decoder(), likelihood, encoder).build((None, *data_shape))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("likelihood", "remedy"),
    [
        (lambda p: tfd.Normal(p, 1.0), "wrap the distribution in tfd.Independent"),
        (lambda p: tfd.Independent(tfd.Normal(p[:, :4], 1.0), 1), "give the decoder's last layer another size"),
    ],
)
def test_a_function_whose_distribution_has_the_wrong_shape(likelihood, remedy):
    with pytest.raises(ValueError, match=remedy) as error:
        vae(layers.Dense(6), likelihood).build((None, 6))
    assert "\n" not in str(error.value)


def two_inputs():
    inputs = keras.Input((6,)), keras.Input((2,))
    return keras.Model(inputs, layers.Dense(4)(layers.Concatenate()(list(inputs))))


@pytest.mark.parametrize("encoder", [two_inputs, lambda: keras.Sequential([layers.Concatenate(), layers.Dense(4)])])
def test_a_condition_that_was_forgotten(encoder):
    with pytest.raises(ValueError, match=r"was given x of shape \(None, 6\).* the tuple \(x, condition\)") as error:
        vae(layers.Dense(6), encoder=encoder()).fit(X, verbose=0)
    assert "\n" not in str(error.value)


def test_a_condition_too_many():
    model = vae(layers.Dense(6), encoder=sequential_of_six())
    with pytest.raises(
        ValueError, match=r"was given a list of x .* and a condition .* takes one input, so leave the condition out"
    ):
        model.fit((X, X[:, :2]), verbose=0)


def sequential_of_six():
    inputs = keras.Input((6,))
    return keras.Model(inputs, layers.Dense(4)(inputs))


def test_an_error_of_keras_without_the_whole_config():
    error = ValueError("Could not locate class 'A'. Full object config: {'a': 1}")
    assert first_line(error) == "Could not locate class 'A'."


@pytest.mark.parametrize("name", ["folder", "model.h5", "model.weights.h5"])
def test_a_model_is_saved_as_a_keras_file(name, tmp_path):
    with pytest.raises(ValueError, match=r"a \.keras file") as error:
        vae(layers.Dense(6)).save(tmp_path / name)
    assert "\n" not in str(error.value)


def test_weights_are_saved_under_the_right_name(tmp_path):
    with pytest.raises(ValueError, match=r"call it 'model\.weights\.h5'"):
        vae(layers.Dense(6)).save_weights(tmp_path / "model.keras")


@pytest.mark.parametrize("call", [lambda m: m.sample(3), lambda m: m.prior_sample(3, 0), lambda m: m.decode(np.zeros([3, 2]))])
def test_what_an_unbuilt_model_cannot_do(call):
    with pytest.raises(ValueError, match="is not built: fit it"):
        call(vae(layers.Dense(6)))


def test_classes_and_keras_2_in_the_place_of_optimizers_and_callbacks():
    model = VAE(layers.Dense(8), DiagonalGaussian(2), layers.Dense(6))
    with pytest.raises(ValueError, match=r"the class Adam \(pass an object: Adam\(\.\.\.\)\)"):
        model.compile(keras.optimizers.Adam)
    tf_keras = pytest.importorskip("tf_keras")
    with pytest.raises(ValueError, match=r"Adam of Keras 2 \(tf_keras\)"):
        model.compile(tf_keras.optimizers.Adam())
    model.compile("adam")
    with pytest.raises(ValueError, match=r"callbacks must be objects, .* the class TerminateOnNaN"):
        model.fit(X, callbacks=[keras.callbacks.TerminateOnNaN], verbose=0)


@keras.saving.register_keras_serializable("tests.parts")
class Registered(layers.Dense):
    pass


@pytest.mark.parametrize("encoder", [lambda: Registered(4), lambda: keras.Sequential([layers.Flatten(), Registered(4)])])
def test_a_layer_that_the_loading_program_does_not_know(encoder, tmp_path, monkeypatch):
    model = vae(layers.Dense(6), encoder=encoder())
    model.build((None, 6))
    model.save(tmp_path / "model.keras")
    monkeypatch.delitem(keras.saving.get_custom_objects(), "tests.parts>Registered")
    monkeypatch.setattr(f"{__name__}.Registered", None)
    with pytest.raises(
        ValueError, match="The encoder of the file cannot be made: Could not locate class 'Registered'"
    ) as error:
        keras.saving.load_model(tmp_path / "model.keras")
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_weights_of_another_model(tmp_path):
    model, other = vae(layers.Dense(6)), VAE(layers.Dense(8), DiagonalGaussian(3), layers.Dense(6))
    model.build((None, 6))
    model.save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match="is not built: fit it"):
        other.load_weights(tmp_path / "model.weights.h5")
    other.build((None, 6))
    with pytest.raises(ValueError, match=r"do not fit .*: A total of \d+ objects could not be loaded") as error:
        other.load_weights(tmp_path / "model.weights.h5")
    assert "\n" not in str(error.value)


def test_data_without_rows():
    with pytest.raises(ValueError, match="The data have no rows"):
        vae(layers.Dense(6)).fit(X[:0], verbose=0)
