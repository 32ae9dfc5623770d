import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import cases
from tests.strategies import mirrored_strategy
from tfp_iaf import VAE, priors
from tfp_iaf.posteriors import IAF, DiagonalGaussian, FullCovariance

tfd = tfp.distributions

POSTERIORS = {
    "diagonal": lambda **kwargs: DiagonalGaussian(3, seed=1, **kwargs),
    "full covariance": lambda **kwargs: FullCovariance(3, seed=1, **kwargs),
    "IAF": lambda **kwargs: IAF(3, hidden_units=(16, 16), seed=1, **kwargs),
}
every_posterior = cases.parametrize("posterior", POSTERIORS, ["diagonal", "full covariance"])


def data(rows=96, size=4):
    """Binary images of one bright row or one bright column."""
    rng = np.random.default_rng(0)
    images = np.zeros([rows, size, size], np.uint8)
    for image, index, is_row in zip(images, rng.integers(size, size=rows), rng.integers(2, size=rows)):
        image[(index, slice(None)) if is_row else (slice(None), index)] = 1
    return images


def make(posterior=POSTERIORS["IAF"], dtype=None, compile_kwargs=None, **kwargs):
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    model = VAE(
        encoder=keras.Sequential([keras.layers.Flatten(dtype=dtype), dense(24, "elu", dtype=dtype)]),
        posterior=posterior(dtype=dtype),
        decoder=keras.Sequential(
            [dense(24, "elu", dtype=dtype), dense(16, dtype=dtype), keras.layers.Reshape((4, 4), dtype=dtype)]
        ),
        dtype=dtype,
        **kwargs,
    )
    model.compile(keras.optimizers.Adam(5e-3), **(compile_kwargs or {}))
    return model


@every_posterior
def test_fit_moves_every_weight_improves_the_bound_and_is_saved(posterior, tmp_path):
    model = make(posterior)
    model.build((None, 4, 4))
    flows = [weight for network in getattr(model.posterior, "networks", []) for weight in network.trainable_weights]
    assert {id(weight) for weight in flows} <= {id(weight) for weight in model.trainable_weights}
    before = [weight.numpy() for weight in model.trainable_weights]
    history = model.fit(data(), batch_size=32, epochs=40, verbose=0).history
    assert set(history) == {"loss", "elbo", "kl", "reconstruction"}
    assert history["elbo"][-1] > history["elbo"][0] + 2.0
    np.testing.assert_allclose(history["elbo"], np.subtract(history["reconstruction"], history["kl"]), atol=1e-4)
    np.testing.assert_allclose(history["loss"], np.negative(history["elbo"]), atol=1e-4)
    for weight, start in zip(model.trainable_weights, before):
        assert np.abs(weight.numpy() - start).max() > 0, weight.path

    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    assert len(restored.trainable_weights) == len(model.trainable_weights)
    expected, outputs = model(data()), restored(data())
    for name, values in expected.items():
        np.testing.assert_array_equal(outputs[name], values)
    z = np.random.default_rng(0).normal(size=[96, 3]).astype(np.float32)
    np.testing.assert_array_equal(
        restored.posterior.log_prob(restored.encode(data()), z), model.posterior.log_prob(model.encode(data()), z)
    )
    # It trains on, from the optimizer's and the noise's state.
    histories = [m.fit(data(), batch_size=32, epochs=2, verbose=0).history["elbo"] for m in (model, restored)]
    np.testing.assert_array_equal(*histories)


def test_weights_round_trip(tmp_path):
    model = make(POSTERIORS["diagonal"])
    model.fit(data(), batch_size=32, verbose=0)
    model.save_weights(tmp_path / "model.weights.h5")
    twin = make(POSTERIORS["diagonal"])
    twin.build((None, 4, 4))
    twin.optimizer.build(twin.trainable_variables)
    twin.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(twin(data())["elbo"], model(data())["elbo"])


def test_a_resumed_run_equals_an_unbroken_one(tmp_path):
    """With optimizer, averages and noise restored by Keras's own BackupAndRestore."""

    def fit(epochs, **kwargs):
        model = make(POSTERIORS["diagonal"])
        model.compile(keras.optimizers.Adam(5e-3, use_ema=True, ema_momentum=0.9))
        model.build((None, 4, 4))
        model.fit(data(), batch_size=32, epochs=epochs, shuffle=False, verbose=0, **kwargs)
        return model

    unbroken = fit(4)

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    backup = keras.callbacks.BackupAndRestore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(4, callbacks=[backup, Stop()])
    resumed = fit(4, callbacks=[keras.callbacks.BackupAndRestore(tmp_path)])
    for ours, other in zip(resumed.weights, unbroken.weights):
        np.testing.assert_array_equal(ours.numpy(), other.numpy())


def test_a_training_step_is_traced_once(monkeypatch):
    """An optimizer that made its variables in it would have it traced twice."""
    model, traces = make(POSTERIORS["diagonal"]), []
    train_step = model.train_step
    monkeypatch.setattr(model, "train_step", lambda batch: traces.append(batch) or train_step(batch))
    model.fit(data(), batch_size=96, epochs=2, verbose=0)
    assert len(traces) == 1


def test_graph_and_xla_training_agree():
    models = [make(compile_kwargs={"jit_compile": jit}) for jit in (False, True)]
    histories = [model.fit(data(), batch_size=96, epochs=2, verbose=0).history["elbo"] for model in models]
    np.testing.assert_allclose(*histories, rtol=1e-3)


def test_mixed_precision_trains_and_keeps_densities_in_float32():
    model = make(dtype="mixed_bfloat16")
    history = model.fit(data(), batch_size=32, epochs=30, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0] + 2.0
    assert model.elbo_terms(data())["kl"].dtype == tf.float32
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}


def test_float64():
    model = make(dtype="float64")
    model.fit(data(), batch_size=32, verbose=0)
    assert model(data())["elbo"].dtype == tf.float64


def test_exponential_moving_average_of_keras():
    model = make(POSTERIORS["diagonal"])
    model.compile(keras.optimizers.Adam(5e-3, use_ema=True, ema_momentum=0.99))
    raw = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: raw.append(model.trainable_weights[0].numpy())
    )
    model.fit(data(), batch_size=32, epochs=2, verbose=0, callbacks=[callback])
    # Keras overwrites the weights by their average at the end of training.
    assert np.abs(model.trainable_weights[0].numpy() - raw[-1]).max() > 0


def test_checkpoints_and_early_stopping(tmp_path):
    model = make(POSTERIORS["diagonal"])
    callbacks = [keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"), keras.callbacks.EarlyStopping("val_loss")]
    history = model.fit(data(), validation_data=data(), epochs=2, verbose=0, callbacks=callbacks).history
    assert "val_elbo" in history
    assert (tmp_path / "1.keras").exists()


def test_predict_gives_the_terms_of_each_example():
    outputs = make().predict(data(), batch_size=32, verbose=0)
    assert {name: values.shape for name, values in outputs.items()} == {"elbo": (96,), "kl": (96,), "reconstruction": (96,)}


def test_more_samples_lower_the_variance_not_the_bound():
    one, many = make(), make(num_samples=32)
    bounds = [[np.mean(model(data())["elbo"]) for _ in range(20)] for model in (one, many)]
    assert np.std(bounds[1]) < np.std(bounds[0])
    assert abs(np.mean(bounds[0]) - np.mean(bounds[1])) < 4 * np.std(bounds[0]) / np.sqrt(20)


@pytest.mark.parametrize("rows", [0, 1])
def test_batches_of_any_size_with_several_samples(rows):
    terms = make().elbo_terms(data()[:rows], num_samples=4, seed=[0, 1])
    assert {tuple(terms[name].shape) for name in ("kl", "reconstruction")} == {(4, rows)}


def test_terms_agree_with_their_definition():
    model = make(dtype="float64")
    x = data()[:5]
    terms = model.elbo_terms(x, num_samples=2, seed=[0, 1])
    z, log_q = model.posterior(model.encode(x), num_samples=2, seed=[0, 1])
    np.testing.assert_allclose(terms["z"], z)
    prior = -0.5 * np.sum(np.square(z) + np.log(2.0 * np.pi), axis=-1)
    np.testing.assert_allclose(terms["kl"], log_q - prior, atol=1e-9)
    for s in range(2):
        logits = model.decode(z[s]).numpy()
        expected = np.where(x == 1, -np.logaddexp(0.0, -logits), -np.logaddexp(0.0, logits)).sum(axis=(1, 2))
        np.testing.assert_allclose(terms["reconstruction"][s], expected, atol=1e-9)


def test_sample_weights_and_regularization():
    model = make()
    model.build((None, 4, 4))
    weights = np.zeros(96, np.float32)
    assert model.evaluate(data(), sample_weight=weights, verbose=0, return_dict=True)["loss"] == 0.0
    regularized = VAE(
        keras.Sequential([keras.layers.Flatten()]),
        DiagonalGaussian(2, seed=1),
        keras.Sequential([keras.layers.Dense(16, kernel_regularizer="l2"), keras.layers.Reshape((4, 4))]),
    )
    regularized.compile(keras.optimizers.SGD(0.0))
    results = regularized.evaluate(data(), verbose=0, return_dict=True)
    np.testing.assert_allclose(results["loss"] + results["elbo"], float(sum(regularized.losses)), rtol=1e-3)


@keras.saving.register_keras_serializable("tests")
def wide_prior():
    return tfd.MultivariateNormalDiag(tf.zeros([3]), 3.0 * tf.ones([3]))


@keras.saving.register_keras_serializable("tests")
def laplace_likelihood(parameters):
    return tfd.Independent(tfd.Laplace(parameters, 1.0), 2)


def test_given_prior_and_likelihood_are_used_and_saved(tmp_path):
    model = make(POSTERIORS["diagonal"], prior=wide_prior, likelihood=laplace_likelihood)
    model.fit(data(), verbose=0)
    terms = model.elbo_terms(data()[:2], seed=[0, 1])
    z, log_q = model.posterior(model.encode(data()[:2]), num_samples=1, seed=[0, 1])
    np.testing.assert_allclose(terms["kl"], log_q - wide_prior().log_prob(z), atol=1e-5)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(data())["elbo"], model(data())["elbo"])


def test_a_distribution_as_prior_works_but_says_that_it_cannot_be_saved(tmp_path):
    model = make(POSTERIORS["diagonal"], prior=wide_prior())
    model.fit(data(), verbose=0)
    with pytest.raises(ValueError, match="register_keras_serializable"):
        model.save(tmp_path / "model.keras")
    assert not (tmp_path / "model.keras").exists()
    model.save_weights(tmp_path / "model.weights.h5")


def test_normal_likelihood():
    keras.utils.set_random_seed(0)
    model = VAE(keras.layers.Dense(8), DiagonalGaussian(2), keras.layers.Dense(6), likelihood="normal")
    x = np.random.default_rng(0).normal(size=[50, 3])
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(x, epochs=30, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0]
    assert model.sample(5, seed=[0, 1]).shape == (5, 3)
    np.testing.assert_allclose(model.prior_sample(5, 1, temperature=0.5), 0.5 * model.prior_sample(5, 1))
    assert model.reconstruct(x).shape == (50, 3)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"likelihood": "bernouli"}, "likelihood must be one of bernoulli, discretized_logistic, normal"),
        ({"num_samples": 0}, "num_samples must be a positive integer"),
        ({"prior": 3}, "prior must be a"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**kwargs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: VAE(keras.layers.Dense(8), keras.layers.Dense(4), keras.layers.Dense(6)),
            "posterior must be a layer of tfp_iaf",
        ),
        (lambda: VAE(lambda x: x, DiagonalGaussian(2), keras.layers.Dense(6)), "encoder must be a Keras layer"),
        (lambda: make(dtype="float64", prior=wide_prior).build((None, 4, 4)), "prior must have dtype float64"),
        (lambda: make(prior=tfd.Normal(0.0, 1.0)).build((None, 4, 4)), r"event_shape of a latent, \(3,\)"),
        (lambda: VAE(keras.layers.Dense(8), DiagonalGaussian(2, dtype="float64"), keras.layers.Dense(6)), "same dtype"),
        (
            lambda: VAE(keras.layers.Dense(8), DiagonalGaussian(2), keras.layers.Reshape((2, 1))).build((None, 4, 3)),
            "end the encoder with keras.layers.Flatten",
        ),
        (
            lambda: VAE(
                keras.layers.Dense(8), DiagonalGaussian(2), keras.layers.Dense(6), likelihood=lambda p: tfd.Bernoulli(logits=p)
            ).build((None, 6)),
            "makes a distribution of batch_shape",
        ),
    ],
)
def test_parts_that_do_not_fit_raise_one_line(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", ["bfloat16", "mixed_float16"])
def test_policies_of_half_precision_train(dtype):
    history = make(dtype=dtype).fit(data(), epochs=2, verbose=0).history
    assert np.isfinite(history["elbo"]).all()


def test_distributed_replicas_take_the_step_of_one_device():
    def train(strategy):
        with strategy.scope():
            # Enough samples that their noise, which replicas draw apart, averages out.
            model = make(num_samples=64)
            model.compile(keras.optimizers.SGD(0.1))
        loss = model.fit(data(64), batch_size=64, shuffle=False, verbose=0).history["loss"][0]
        return loss, model.trainable_weights[-1].numpy()

    loss, weight = train(tf.distribute.get_strategy())
    losses, weights = train(mirrored_strategy())
    assert losses == pytest.approx(loss, rel=0.05)
    np.testing.assert_allclose(weights, weight, atol=0.1 * np.abs(weight).max())


def test_a_trainable_prior_is_refused():
    with pytest.raises(ValueError, match="trainable variables"):
        make(prior=tfd.MultivariateNormalDiag(tf.Variable(tf.zeros([3]))))


@pytest.mark.parametrize("likelihood", ["bernoulli", "normal"])
def test_a_decoder_of_the_wrong_shape_is_refused(likelihood):
    model = VAE(keras.layers.Dense(8), DiagonalGaussian(2), keras.layers.Dense(5), likelihood=likelihood)
    with pytest.raises(ValueError, match="give its last layer"):
        model.build((None, 3))


@keras.saving.register_keras_serializable("tests.vae")
class ClassPrior(priors.Prior):
    """N(loc of the class, I)."""

    def build(self, latent_shape):
        super().build(latent_shape)
        self.locs = self.add_weight(name="locs", shape=(2, *self.latent_shape), initializer="zeros", autocast=False)

    def log_prob(self, z, condition=None):
        return tfd.MultivariateNormalDiag(condition @ self.locs, tf.ones([3])).log_prob(z)

    def sample(self, n, seed, temperature=1.0, condition=None):
        return condition @ self.locs + temperature * tf.random.stateless_normal([n, 3], seed)


def labels(images):
    """One-hot: whether the bright line is a row."""
    is_row = (images.sum(axis=2) == 4).any(axis=1)
    return np.stack([is_row, ~is_row], axis=-1).astype(np.float32)


def conditional_model(prior=None):
    keras.utils.set_random_seed(0)
    x, z, label = keras.Input((4, 4)), keras.Input((3,)), keras.Input((2,))
    joined = keras.layers.Concatenate()
    hidden = keras.layers.Dense(24, "elu")(joined([keras.layers.Flatten()(x), label]))
    outputs = keras.layers.Dense(16)(keras.layers.Dense(24, "elu")(joined([z, label])))
    return VAE(
        keras.Model([x, label], hidden),
        IAF(3, hidden_units=(16,), seed=1),
        keras.Model([z, label], keras.layers.Reshape((4, 4))(outputs)),
        prior=prior,
    )


@pytest.mark.long
def test_a_class_conditional_model(tmp_path):
    model, x = conditional_model(prior=ClassPrior()), data(256)
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit((x, labels(x)), batch_size=64, epochs=120, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0] + 3.0
    # Samples are of the class that was asked for: a line of four, along the right axis.
    for label in np.eye(2):
        samples = np.asarray(model.sample(64, seed=0, temperature=0.5, condition=label))
        assert samples.shape == (64, 4, 4)
        across, along = samples.mean(axis=2).max(axis=1), samples.mean(axis=1).max(axis=1)
        is_row = across > along
        assert (is_row == bool(label[0])).mean() > 0.9
    np.testing.assert_array_equal(
        model.sample(4, seed=7, condition=labels(x[:4])), model.sample(4, seed=(0, 7), condition=labels(x[:4]))
    )
    assert np.abs(model.prior.locs.numpy()).max() > 0.0
    assert model.reconstruct((x, labels(x)), seed=1).shape == x.shape
    z = model.encode_mean((x, labels(x)))
    np.testing.assert_array_equal(z, model.encode_mean((x, labels(x))))
    assert model.mean(z, labels(x)).shape == x.shape
    assert model.posterior_log_prob((x, labels(x)), z).shape == (256,)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored((x, labels(x)))["elbo"], model((x, labels(x)))["elbo"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.sample(3, seed=0), "takes a condition: pass condition="),
        (lambda model: model.sample(3, seed=0, condition=np.eye(2)), r"condition must have shape \[3, 2\]"),
        (lambda model: model.sample(3, seed=0, condition=[0.0, np.nan]), "condition holds NaN"),
        (lambda model: make_built().sample(3, seed=0, condition=[0.0, 1.0]), "takes no condition"),
        (lambda model: make().fit((data(), labels(data())), verbose=0), "encoder was given a list of x of shape"),
    ],
)
def test_conditions_that_do_not_fit(call, message):
    model = conditional_model()
    model.build(((None, 4, 4), (None, 2)))
    with pytest.raises(ValueError, match=message) as error:
        call(model)
    assert "\n" not in str(error.value)


def make_built():
    model = make()
    model.build((None, 4, 4))
    return model


def test_seeds_counts_and_temperatures():
    model = make_built()
    np.testing.assert_array_equal(model.sample(5, 42), model.sample(5, (0, 42)))
    assert np.abs(model.sample(5, 42) - model.sample(5, 43)).max() > 0
    x = data()[:3]
    for method in (model.reconstruct, lambda x, seed: model.posterior_sample(x, seed)[0]):
        np.testing.assert_array_equal(method(x, 42), method(x, [0, 42]))
    for arguments, message in (
        ((1.9, 0), "num_samples must be a positive integer"),
        ((0, 0), "num_samples must be a positive integer"),
        ((2**32 + 3, 0), "num_samples must be at most"),
        ((3, [1.5, 2.5]), "seed must be"),
        ((3, 2**40), "seed must be"),
        ((3, 0, -1.0), "temperature must be a number of at least 0"),
        ((3, 0, float("inf")), "temperature must be a number of at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            model.sample(*arguments)


def test_a_learned_prior_is_trained_and_saved(tmp_path):
    model = make(POSTERIORS["diagonal"], prior=priors.GaussianMixture(3, seed=0))
    model.build((None, 4, 4))
    before = [weight.numpy() for weight in model.prior.trainable_weights]
    assert len(before) == 3
    model.fit(data(), batch_size=32, epochs=2, verbose=0)
    for weight, start in zip(model.prior.trainable_weights, before):
        assert np.abs(weight.numpy() - start).max() > 0
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored.sample(4, 1), model.sample(4, 1))
    np.testing.assert_array_equal(restored(data())["elbo"], model(data())["elbo"])


class ListedEncoder(keras.Model):
    """Its layers stand in a list, in which TensorFlow does not look."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = [keras.layers.Dense(5, "relu"), keras.layers.BatchNormalization()]

    def call(self, x, training=None):
        hidden = self.parts[0](keras.ops.concatenate(x, axis=-1))
        return self.parts[1](hidden, training=training)


def test_a_checkpoint_of_tensorflow_holds_every_weight(tmp_path):
    """Of a conditional model, whose Sequentials never become functional, and of layers in lists; statistics, too."""

    def make():
        decoder = keras.Sequential([keras.layers.Concatenate(), keras.layers.Dense(12)])
        model = VAE(ListedEncoder(), IAF(2, hidden_units=(8,)), decoder)
        model.build([(None, 12), (None, 3)])
        return model

    model, restored = make(), make()
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape).astype(weight.dtype))
    path = tf.train.Checkpoint(model=model).write(tmp_path / "checkpoint")
    tf.train.Checkpoint(model=restored).read(path).assert_consumed()
    assert len(model.weights) > 10
    for ours, theirs in zip(restored.weights, model.weights):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.path)
