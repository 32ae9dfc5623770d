"""What a training step reads is the model's own: `fit` trains it, and files hold it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.strategies import mirrored_strategy
from tfp_iaf import VAE, evaluation, likelihoods, posteriors, priors

tfd = tfp.distributions
X = (np.random.default_rng(0).random([16, 6]) < 0.5).astype(np.float32)


def make(encoder=None, posterior=None, **kwargs):
    model = VAE(encoder or keras.layers.Dense(8), posterior or posteriors.DiagonalGaussian(3), keras.layers.Dense(6), **kwargs)
    model.compile("adam")
    return model


def variable(is_trainable):
    return tf.Variable(tf.ones([3]), trainable=is_trainable, name="stray")


class StrayPrior(priors.Prior):
    def __init__(self, is_trainable):
        super().__init__()
        self.shift = variable(is_trainable)

    def log_prob(self, z, condition=None):
        return -0.5 * tf.reduce_sum((z - self.shift) ** 2, axis=-1)


class StrayPosterior(posteriors.Posterior):
    def __init__(self, is_trainable):
        super().__init__(3)
        self.factor = variable(is_trainable)

    def base_scale(self, loc, unconstrained):
        return self.factor * super().base_scale(loc, unconstrained)


class StrayEncoder(keras.layers.Layer):
    def __init__(self, is_trainable):
        super().__init__()
        self.factor = variable(is_trainable)

    def call(self, x):
        return x[:, :3] * self.factor


PARTS = {
    "prior": lambda is_trainable: make(prior=StrayPrior(is_trainable)),
    "posterior": lambda is_trainable: make(posterior=StrayPosterior(is_trainable)),
    "encoder": lambda is_trainable: make(encoder=StrayEncoder(is_trainable)),
}
every_part = pytest.mark.parametrize("make_model", PARTS.values(), ids=PARTS)


@every_part
def test_trainable_variables_of_nobody_are_refused(make_model):
    with pytest.raises(ValueError, match=r"reads trainable variables \(.*stray:0\) that are none of its weights"):
        make_model(is_trainable=True).fit(X, verbose=0)


@every_part
def test_other_variables_of_nobody_are_warned_about(make_model):
    with pytest.warns(UserWarning, match=r"reads variables \(.*stray:0\) that are none of its weights, so that no file"):
        make_model(is_trainable=False).fit(X, verbose=0)


def test_variables_of_a_fixed_prior_and_of_a_likelihood_are_warned_about():
    loc = variable(is_trainable=False)

    def of_prior():
        return tfd.MultivariateNormalDiag(loc)

    def of_data(parameters):
        return tfd.Independent(tfd.Normal(parameters, loc[0]), 1)

    for kwargs in ({"prior": of_prior}, {"likelihood": of_data}):
        with pytest.warns(UserWarning, match="no file holds them"):
            make(**kwargs).fit(X, verbose=0)


def test_a_network_that_the_model_holds_is_its_own():
    """A frozen one too, whose TensorFlow variables stay trainable."""
    frozen = keras.layers.Dense(6)
    frozen.build((None, 6))
    frozen.trainable = False

    class Features(keras.layers.Layer):
        def call(self, x):
            return frozen(x)

    with pytest.raises(ValueError, match="hold their layer as an attribute of the model"):
        make(encoder=Features()).fit(X, verbose=0)
    model = make(encoder=Features())
    model.frozen = frozen
    model.fit(X, verbose=0)


def test_a_step_of_ones_own_reads_other_networks():
    class WithTeacher(VAE):
        def compute_loss(self, *args, **kwargs):
            return super().compute_loss(*args, **kwargs) + tf.reduce_mean(teacher(X) ** 2)

        def train_step(self, data):
            teacher(X)
            return super().train_step(data)

    teacher = keras.layers.Dense(2)
    teacher.build((None, 6))
    model = WithTeacher(keras.layers.Dense(8), posteriors.DiagonalGaussian(3), keras.layers.Dense(6))
    model.compile("adam")
    model.fit(X, verbose=0)


def test_weights_of_all_kinds_are_the_models_own():
    """Batch normalization, dropout, soft free bits, noise, an optimizer with averages, replicas: none is warned about."""
    dense, normalize, drop = keras.layers.Dense(8), keras.layers.BatchNormalization(), keras.layers.Dropout(0.1)
    posterior = posteriors.IAF(3, num_flows=1, hidden_units=(4,))
    with mirrored_strategy().scope():
        model = make(keras.Sequential([dense, normalize, drop]), posterior, free_bits=0.1, soft_free_bits=True)
        model.compile(keras.optimizers.AdamW(1e-3, use_ema=True))
    model.fit(X, batch_size=8, verbose=0)


def test_evaluation_follows_layers_that_change_their_variables():
    model = make()
    before = evaluation.elbo(model, X, num_samples=4, verbose=False)
    model.encoder.enable_lora(2)
    model.encoder.lora_kernel_b.assign(tf.ones_like(model.encoder.lora_kernel_b))
    after = evaluation.elbo(model, X, num_samples=4, verbose=False)
    assert np.abs(after - before).max() > 1e-2
    twin = make()
    twin.build((None, 6))
    twin.encoder.kernel.assign(tf.convert_to_tensor(model.encoder.kernel))
    twin.posterior.set_weights(model.posterior.get_weights())
    twin.decoder.set_weights(model.decoder.get_weights())
    np.testing.assert_allclose(evaluation.elbo(twin, X, num_samples=4, verbose=False), after, rtol=1e-4)


# A class below that writes one method of a pair anew


def test_a_prior_with_another_density_does_not_keep_that_of_its_entries():
    class Wide(priors.StandardNormal):
        def log_prob(self, z, condition=None):
            return tf.reduce_sum(tfd.Normal(0.0, 10.0).log_prob(z), axis=-1)

    model = make(prior=Wide(), free_bits=1e-6)
    model.build((None, 6))
    kl, of_training = (model.elbo_terms(X, seed=0, training=training)["kl"] for training in (False, True))
    np.testing.assert_allclose(kl, of_training, rtol=1e-4)


def test_a_prior_with_another_density_does_not_keep_the_sampler():
    class Wide(priors.StandardNormal):
        def log_prob(self, z, condition=None):
            return tf.reduce_sum(tfd.Normal(0.0, 10.0).log_prob(z), axis=-1)

    prior = Wide()
    prior.build((2,))
    with pytest.raises(NotImplementedError, match="Wide has no sample: define it"):
        prior.sample(2, seed=0)


def test_a_mix_in_keeps_what_it_writes():
    class OfParameters(likelihoods.Likelihood):
        def mean(self, parameters):
            return 7.0 + parameters

    class Real(likelihoods.Likelihood):
        def distribution(self, parameters):
            return tfd.Independent(tfd.Normal(parameters, 1.0), 1)

    class Both(Real, OfParameters):
        pass

    np.testing.assert_array_equal(Both().mean(tf.zeros([1, 2])), 7.0 * np.ones([1, 2]))


def test_a_likelihood_with_another_distribution_does_not_keep_the_mean():
    class Shifted(likelihoods.Bernoulli):
        def distribution(self, parameters):
            return tfd.Independent(tfd.Normal(parameters + 5.0, 1.0), 1)

    np.testing.assert_allclose(Shifted().mean(tf.zeros([1, 2])), 5.0 * np.ones([1, 2]))
