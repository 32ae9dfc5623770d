"""Posteriors of the user's own in `HierarchicalVAE`."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.hierarchical.models import images, make, make_small
from tfp_iaf import bijectors, posteriors
from tfp_iaf.models import HierarchicalVAE


class Scaling(bijectors.FlowBijector):
    """z = y exp(c), with c one number per row: it neither says its log-derivatives by entry nor inverts."""

    def __init__(self, context, name="scaling"):
        parameters = dict(locals())
        self.c = tf.tanh(tf.reduce_mean(context, axis=[-3, -2, -1]))
        super().__init__(forward_min_event_ndims=3, dtype=context.dtype, parameters=parameters, name=name)

    def forward_and_log_det(self, y):
        size = np.prod(y.shape[-3:])
        return y * tf.exp(self.c)[..., tf.newaxis, tf.newaxis, tf.newaxis], size * self.c


@keras.saving.register_keras_serializable("tests.hierarchical")
class Scaled(posteriors.Posterior):
    flow_size = 3

    def flows(self, flow_inputs):
        return [Scaling(flow_inputs)]


@keras.saving.register_keras_serializable("tests.hierarchical")
def scaled(latent_shape):
    return Scaled(latent_shape=latent_shape)


@keras.saving.register_keras_serializable("tests.hierarchical")
class Spline:
    """A factory with a setting."""

    def __init__(self, filters):
        self.filters = filters

    def __call__(self, latent_shape):
        return posteriors.ConvIAF(latent_shape, num_flows=1, filters=self.filters, bijector_fn="spline")

    def get_config(self):
        return {"filters": self.filters}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def test_a_posterior_without_log_derivatives_by_entry_has_one_group_per_layer():
    model = make(posterior=scaled, free_bits=2.0)
    terms = model.elbo_terms(images(3), num_samples=2, seed=0)
    assert terms["kl_per_map"].shape == (2, 3, 2)
    np.testing.assert_allclose(tf.reduce_sum(terms["kl_per_map"], axis=-1), terms["kl"], rtol=1e-5)
    # The density of the same latents, with the flow undone by hand.
    shift = {}
    layers = model.ladder.stochastic_layers

    def given(index, statistics):
        z = terms["z"][index][0]
        loc, unconstrained, inputs = tf.split(statistics, layers[index].posterior.parameter_sizes, axis=-1)
        c = tf.tanh(tf.reduce_mean(inputs, axis=[1, 2, 3]))
        scale = tf.nn.softplus(unconstrained + np.log(np.e - 1)) + 1e-5
        noise = (z / tf.exp(c)[:, None, None, None] - loc) / scale
        log_q = tf.reduce_sum(-0.5 * noise**2 - 0.5 * np.log(2 * np.pi) - tf.math.log(scale), axis=[1, 2, 3])
        shift[index] = log_q - np.prod(z.shape[1:]) * c
        return z, shift[index][:, None]

    model.ladder.up_and_down(model.encode(images(3)), None, 1, given)
    log_q = shift[0] + shift[1]
    log_p = model.prior.log_prob([z[0] for z in terms["z"]])
    np.testing.assert_allclose(terms["kl"][0], log_q - log_p, rtol=1e-4, atol=1e-3)
    with pytest.raises(NotImplementedError):
        model.posterior_log_prob(images(3), [z[0] for z in terms["z"]])


def test_a_factory_trains():
    model = make_small(posterior=scaled, free_bits=0.2, soft_free_bits=True)
    model.compile(keras.optimizers.Adamax(1e-3))
    before = [weight.numpy() for weight in model.trainable_weights]
    model.fit(images(8), batch_size=4, verbose=0)
    assert all(np.abs(weight - old).max() > 0 for weight, old in zip(model.trainable_weights, before))
    # One weight for the KL of the one layer.
    assert model.free_bits_weights.shape == (1,)


@pytest.mark.parametrize("factory", [scaled, Spline((4,)), posteriors.ConvIAF], ids=["function", "instance", "class"])
def test_factories_are_saved(factory, tmp_path):
    model = make_small(posterior=factory, trained=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.elbo_terms(images(3))["kl"], model.elbo_terms(images(3))["kl"], rtol=1e-5)


def test_a_factory_that_no_file_could_name(tmp_path):
    def unregistered(latent_shape):
        return posteriors.ConvIAF(latent_shape)

    for factory in (unregistered, lambda latent_shape: posteriors.ConvIAF(latent_shape)):
        with pytest.raises(ValueError, match="register_keras_serializable"):
            make_small(posterior=factory).save(tmp_path / "model.keras")
    assert not (tmp_path / "model.keras").exists()


def test_a_file_names_only_registered_factories():
    config = make_small().get_config()
    harmful = {"module": "os", "class_name": "function", "config": "abort", "registered_name": "abort"}
    with pytest.raises(ValueError, match="not registered"):
        HierarchicalVAE.from_config({**config, "posterior": harmful})


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda latent_shape: keras.layers.Dense(2), "must return a tfp_iaf.posteriors.Posterior"),
        (lambda latent_shape: posteriors.IAF(8), "asked for latents of shape"),
        (lambda latent_shape: posteriors.ConvIAF(latent_shape, dtype="float64"), "works in float64, the model in float32"),
        (functools.cache(posteriors.ConvIAF), "same one twice"),
        (posteriors.ConvIAF((4, 4, 2)), "a function latent_shape ->"),
    ],
)
def test_factories_that_do_not_fit(factory, message):
    with pytest.raises(ValueError, match=message):
        HierarchicalVAE((8, 8, 3), num_layers=(2,), filters=4, latent_channels=2, posterior=factory)


def test_a_factory_that_fails():
    with pytest.raises(
        ValueError, match=r"latents of shape \(\d, \d, \d+\), as posterior=ConvIAF does, but IAF failed: latent_size"
    ) as error:
        make(posterior=posteriors.IAF)
    assert "\n" not in str(error.value)
