"""The VampPrior, in a model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tests.bijectors.constructors import NoInverse
from tests.own_models import conditional_vae
from tfp_iaf import VAE, priors, serving
from tfp_iaf.posteriors import IAF, DiagonalGaussian, Posterior

X = (np.random.default_rng(0).random([64, 6]) < 0.4).astype(np.float32)


def model_with(num_components=3, posterior=None, **kwargs):
    keras.utils.set_random_seed(0)
    model = VAE(
        keras.Sequential([keras.layers.Dense(8, "elu"), keras.layers.Dropout(0.5)]),
        posterior or IAF(2, hidden_units=(8,), seed=0),
        keras.layers.Dense(6),
        prior=priors.VampPrior(num_components, seed=1),
        **kwargs,
    )
    model.build((None, 6))
    properties.randomize(model)
    model.prior.set_weights([np.random.default_rng(3).normal(size=weight.shape) for weight in model.prior.weights])
    return model


def test_one_component_is_the_posterior_at_its_pseudo_input():
    """Also while the model trains: the encoder's dropout plays no part."""
    model = model_with(1)
    z = np.random.default_rng(0).normal(size=[4, 5, 2]).astype(np.float32)
    u = model.prior.pseudo_inputs()
    assert 0.0 < u.numpy().min() < u.numpy().max() < 1.0
    features = tf.tile(model.encoder(u, training=False), [5, 1])
    np.testing.assert_allclose(model.prior.log_prob(z), model.posterior(features, value=z), atol=1e-5)


def test_more_components_are_the_average_of_their_posteriors():
    model = model_with(3, DiagonalGaussian(2, seed=0))
    z = np.random.default_rng(0).normal(size=[5, 2]).astype(np.float32)
    features = model.encoder(model.prior.pseudo_inputs(), training=False)
    densities = [np.exp(model.posterior(tf.tile(features[c : c + 1], [5, 1]), value=z)) for c in range(3)]
    np.testing.assert_allclose(np.exp(model.prior.log_prob(z)), np.mean(densities, axis=0), rtol=1e-4)


def test_it_trains_and_no_file_holds_the_encoder_twice(tmp_path):
    model = model_with(posterior=DiagonalGaussian(2, seed=0))
    assert [tuple(weight.shape) for weight in model.prior.weights] == [(3, 6)]
    assert len(model.weights) == sum(len(part.weights) for part in (model.encoder, model.posterior, model.decoder)) + 1
    before = [weight.numpy() for weight in model.trainable_weights]
    model.compile(keras.optimizers.Adam(0.02))
    history = model.fit(X, batch_size=32, epochs=10, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0]
    for weight, start in zip(model.trainable_weights, before):
        assert np.abs(weight.numpy() - start).max() > 0, weight.path
    terms = model.elbo_terms(X, seed=[3, 4])
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    assert restored.count_params() == model.count_params()
    other = restored.elbo_terms(X, seed=[3, 4])
    serving.export(model, tmp_path / "saved")
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    served = loaded.elbo(X, tf.constant([3, 4]))
    for name in ("reconstruction", "kl"):
        np.testing.assert_array_equal(other[name], terms[name])
        np.testing.assert_allclose(served[name], terms[name][0], atol=1e-4)
    np.testing.assert_allclose(loaded.sample(20, tf.constant([0, 1]))["z"], model.prior_sample(20, seed=1), atol=1e-4)
    assert np.abs(model.prior_sample(20, 1) - model.prior_sample(20, 1, temperature=0.5)).max() > 1e-2


def test_pseudo_inputs_of_unbounded_data():
    keras.utils.set_random_seed(0)
    model = VAE(
        keras.layers.Dense(8), DiagonalGaussian(2), keras.layers.Dense(6), likelihood="normal", prior=priors.VampPrior(50)
    )
    model.build((None, 3))
    assert np.abs(model.prior.pseudo_inputs()).max() > 1.5


class WithoutInverse(Posterior):
    def flows(self, flow_inputs):
        return [NoInverse()]


def of_conditional_model():
    model = conditional_vae(DiagonalGaussian(2))
    priors.VampPrior(2).connect(model)


def of_two_models():
    VAE(keras.layers.Dense(8), DiagonalGaussian(2), keras.layers.Dense(6), prior=model_with().prior).build((None, 6))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (of_two_models, "part of another model, whose posterior it reads: give each model its own"),
        (lambda: priors.VampPrior(0), "num_components must be a positive integer"),
        (lambda: priors.VampPrior(2).build((2,)), "made of a model's posterior"),
        (of_conditional_model, "no pseudo-inputs for conditions"),
        (lambda: model_with(posterior=WithoutInverse(2)), "has no inverse"),
    ],
)
def test_what_it_cannot_be_made_of_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
