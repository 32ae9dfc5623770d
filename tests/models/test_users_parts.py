"""A likelihood, a prior, a posterior and a model of one's own, each as a user writes it: trained, saved, evaluated."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import VAE, bijectors, evaluation, likelihoods, models, posteriors, priors

tfd = tfp.distributions

X = np.random.default_rng(0).poisson(3.0, size=[64, 5]).astype(np.float32)


@keras.saving.register_keras_serializable("tests.users")
class Poisson(likelihoods.Likelihood):
    """Counts."""

    def __init__(self, largest_rate=100.0):
        self.largest_rate = largest_rate

    def distribution(self, parameters):
        return tfd.Independent(tfd.Poisson(tf.minimum(tf.exp(parameters), self.largest_rate)), 1)

    def check(self, x):
        super().check(x)
        if (x < 0).any() or (x != np.floor(x)).any():
            raise ValueError("The Poisson likelihood takes counts, got other values.")

    def get_config(self):
        return {"largest_rate": self.largest_rate}


@keras.saving.register_keras_serializable("tests.users")
class LearnedScale(priors.Prior):
    """N(0, s^2) with one s for all entries."""

    def build(self, latent_shape):
        super().build(latent_shape)
        self.log_scale = self.add_weight(name="log_scale", shape=(), initializer="zeros", autocast=False)

    def distribution(self):
        scale = tf.exp(tf.convert_to_tensor(self.log_scale)) * tf.ones(self.latent_shape)
        return tfd.MultivariateNormalDiag(tf.zeros(self.latent_shape), scale)

    def log_prob(self, z, condition=None):
        return self.distribution().log_prob(z)

    def sample(self, n, seed, temperature=1.0, condition=None):
        return temperature * self.distribution().sample(n, seed=seed)


class Shift(bijectors.FlowBijector):
    """z = y + c."""

    def __init__(self, shift):
        super().__init__(forward_min_event_ndims=1, parameters={"shift": shift})
        self.shift = shift

    def forward_and_log_det(self, y):
        return y + self.shift, tf.zeros(tf.shape(y)[:-1], y.dtype)


@keras.saving.register_keras_serializable("tests.users")
class Shifted(posteriors.Posterior):
    """A flow without an inverse."""

    @property
    def flow_size(self):
        return self.latent_size

    def flows(self, flow_inputs):
        return [Shift(flow_inputs)]


@keras.saving.register_keras_serializable("tests.users")
class FactorAnalysis(models.ElboModel):
    """A model whose author wrote `elbo_terms`, and nothing of `fit`, files or evaluation."""

    def __init__(self, size=2, likelihood="normal", **kwargs):
        super().__init__(likelihood=likelihood, **kwargs)
        self.size = size
        self.encoder, self.decoder = keras.layers.Dense(size), keras.layers.Dense(10)

    def elbo_terms(self, x, num_samples=1, seed=None, training=None):
        x = self.as_input(x)
        q = tfd.MultivariateNormalDiag(self.encoder(x), tf.fill([self.size], 0.5))
        z = q.sample(num_samples, seed=seed)
        parameters = self.decoder(tf.reshape(z, [-1, self.size]))
        prior = tfd.MultivariateNormalDiag(tf.zeros([self.size]))
        return {"reconstruction": self.log_likelihood_of(x, parameters, num_samples), "kl": q.log_prob(z) - prior.log_prob(z)}

    def get_config(self):
        return {**super().get_config(), "size": self.size}


def make(posterior=None, likelihood=None, prior=None):
    keras.utils.set_random_seed(0)
    model = VAE(
        keras.layers.Dense(8),
        posterior or posteriors.DiagonalGaussian(2, seed=0),
        keras.layers.Dense(5 if likelihood else 10),
        likelihood=likelihood or "normal",
        prior=prior,
    )
    model.compile(keras.optimizers.Adam(1e-2))
    return model


MAKERS = {
    "likelihood": lambda: make(likelihood=Poisson(largest_rate=50.0)),
    "prior": lambda: make(prior=LearnedScale()),
    "posterior": lambda: make(Shifted(2, seed=0)),
    "model": lambda: FactorAnalysis(size=3),
}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_trained_saved_and_evaluated(maker, tmp_path):
    model = maker()
    model.compile(keras.optimizers.Adam(1e-2))
    model.build((None, 5))
    before = [weight.numpy() for weight in model.trainable_weights]
    history = model.fit(X, epochs=8, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0]
    for weight, start in zip(model.trainable_weights, before):
        assert np.abs(weight.numpy() - start).max() > 0, weight.path
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    terms = [m.elbo_terms(X, num_samples=2, seed=(0, 1)) for m in (model, restored)]
    np.testing.assert_array_equal(terms[0]["kl"], terms[1]["kl"])
    np.testing.assert_array_equal(terms[0]["reconstruction"], terms[1]["reconstruction"])
    assert evaluation.log_likelihood(restored, X, num_samples=4, verbose=False).shape == (64,)


@keras.saving.register_keras_serializable("tests.users")
class Forgetful(Poisson):
    def get_config(self):
        return {}


def test_an_argument_that_a_config_leaves_out_is_found_before_a_file_is_written(tmp_path):
    for largest_rate in (100.0, 50.0):
        model = VAE(keras.layers.Dense(8), posteriors.DiagonalGaussian(2), keras.layers.Dense(5), Forgetful(largest_rate))
        model.build((None, 5))
        if largest_rate == 100.0:
            model.save(tmp_path / "default.keras")
            continue
        with pytest.raises(ValueError, match=r"Forgetful takes largest_rate=, .* would have 100.0 in place of 50.0\.$"):
            model.save(tmp_path / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["default.keras"]


class UnregisteredEncoder(keras.layers.Dense):
    """Known to `load_model` by `custom_objects=` alone."""


def test_classes_that_are_not_registered_are_saved_in_a_scope(tmp_path):
    model = VAE(UnregisteredEncoder(8), posteriors.DiagonalGaussian(2), keras.layers.Dense(5))
    model.build((None, 5))
    with pytest.raises(ValueError, match=r"Could not locate class .*Save in a keras\.saving\.custom_object_scope") as error:
        model.save(tmp_path / "model.keras")
    assert "\n" not in str(error.value)
    custom_objects = {"UnregisteredEncoder": UnregisteredEncoder}
    with keras.saving.custom_object_scope(custom_objects):
        model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects=custom_objects)
    np.testing.assert_array_equal(loaded.encoder.kernel, model.encoder.kernel)


def test_a_users_check_is_heard():
    with pytest.raises(ValueError, match="takes counts"):
        MAKERS["likelihood"]().fit(X + 0.5, verbose=0)


def test_a_posterior_without_an_inverse_cannot_score():
    model = MAKERS["posterior"]()
    assert model.reconstruct(X).shape == (64, 5)
    with pytest.raises(NotImplementedError, match="inverse"):
        model.posterior_log_prob(X, np.zeros([64, 2], np.float32))


def test_a_model_says_what_its_author_did_not_write():
    model = MAKERS["model"]()
    model.build((None, 5))
    for call in (lambda: model.sample(3, seed=0), lambda: model.reconstruct(X), model.latent_specs):
        with pytest.raises(NotImplementedError, match="FactorAnalysis"):
            call()


class WithoutFlows(posteriors.Posterior):
    def flows(self, flow_inputs):
        return None


class ByEntry(priors.Prior):
    def log_prob(self, z, condition=None):
        return -0.5 * z**2


class WithoutLogProb(priors.Prior):
    pass


class WithoutKL(models.ElboModel):
    def elbo_terms(self, x, num_samples=1, seed=None, training=None):
        return {"reconstruction": tf.reduce_sum(self.as_input(x), axis=-1)}


class WithoutTerms(models.ElboModel):
    pass


def vae(posterior=None, **kwargs):
    posterior = posteriors.DiagonalGaussian(2) if posterior is None else posterior
    return VAE(keras.layers.Dense(8), posterior, keras.layers.Dense(5), **kwargs)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: vae(WithoutFlows(2)), ValueError, r"flows must return a list of bijectors\.FlowBijectors, got None"),
        (lambda: vae(prior=ByEntry()), ValueError, r"ByEntry\.log_prob must give one number for each z, .* add up the entries"),
        (lambda: vae(prior=WithoutLogProb()), NotImplementedError, "WithoutLogProb has no log_prob: define it"),
        (lambda: vae(prior=keras.layers.Dense(2)), ValueError, "prior must be .*, got <Dense"),
        (lambda: vae(prior=lambda z: z), ValueError, "prior must be .* a function without arguments .* which failed"),
        (lambda: vae(likelihood=lambda: None), ValueError, "was given the decoder's output, .* and failed: .* 0 positional"),
        (WithoutKL, ValueError, r"WithoutKL\.elbo_terms must return a dict of reconstruction and kl, .*got \{'reconstruction'"),
        (WithoutTerms, NotImplementedError, "WithoutTerms must write elbo_terms"),
    ],
)
def test_parts_that_are_not_written_to_the_end_say_so_in_one_line(make, error, message):
    with pytest.raises(error, match=message) as caught:
        model = make()
        model.compile("sgd")
        model.fit(np.zeros([4, 5]), verbose=0)
    assert "\n" not in str(caught.value)
