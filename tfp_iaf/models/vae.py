"""The variational autoencoder as a Keras model."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf.layers import density_dtype
from tfp_iaf.likelihoods import _functions as likelihoods
from tfp_iaf.models.elbo_model import ElboModel
from tfp_iaf.posteriors import Posterior

__all__ = ["VAE"]

tfd = tfp.distributions


@keras.saving.register_keras_serializable("tfp_iaf")
class VAE(ElboModel):
    """A variational autoencoder: x -> encoder -> q(z|x) -> z -> decoder -> p(x|z), trained on the evidence lower bound.

    ```none
    elbo(x) = E_q(z|x) [log p(x|z)] - E_q(z|x) [log q(z|x) - log p(z)] = reconstruction - kl      (nats an example)
    loss    = -mean over the batch of (reconstruction - kl_weight * kl) + regularization losses
    ```

    `compile` it with an optimizer and no loss; `fit(x)` and `evaluate(x)` take data without targets, as an array or a
    `tf.data.Dataset` of batches. Metrics: `loss`, `elbo`, `kl`, `reconstruction`, the last three without `kl_weight`.
    `model(x)` and `predict(x)` return those three for each example. Floating, integer and boolean data are cast to
    `density_dtype`.

    Args:
        encoder: a Keras model or layer, x -> features `[B, F]`.
        posterior: a layer of `tfp_iaf.posteriors`.
        decoder: a Keras model or layer, z `[B, D]` -> the likelihood's parameters.
        likelihood: "bernoulli" (the decoder gives logits), "normal" (locations and unconstrained scales side by side in
            the last axis), "discretized_logistic" (locations and log-scales likewise; the data are the integers 0 to 255), or
            a callable from the decoder's output `[B, ...]` to a `tfd.Distribution` of batch shape [B]; register it with Keras
            to save the model.
        prior: None for the standard normal; a `tfd.Distribution` of the latent's event shape; or a callable without
            arguments that returns one, registered with Keras to save the model.
        num_samples: posterior samples an example in training and evaluation.
        **kwargs: `name`, `dtype` of `keras.Model`.

    Raises:
        ValueError: for an unknown likelihood, a prior of the wrong event shape or with variables of its own, a decoder
            whose output does not fit the data, parts of different precision; in `fit`, `evaluate` and `predict`, of arrays and
            `tf.data.Dataset`s, for NaN, or under a Bernoulli likelihood non-binary, data, or under a discretized logistic one
            other than the integers 0 to 255.

    Source: Kingma and Welling 2014, equations 3 and 7.

    >>> import numpy as np
    >>> from tfp_iaf import posteriors
    >>> model = VAE(
    ...     encoder=keras.Sequential([keras.layers.Dense(16, "relu")]),
    ...     posterior=posteriors.IAF(latent_size=2, hidden_units=(16,)),
    ...     decoder=keras.Sequential([keras.layers.Dense(16, "relu"), keras.layers.Dense(12)]))
    >>> model.compile(keras.optimizers.Adamax(2e-3))
    >>> history = model.fit(np.ones([64, 12]), batch_size=32, epochs=2, verbose=0)
    >>> sorted(history.history)
    ['elbo', 'kl', 'loss', 'reconstruction']
    """

    def __init__(self, encoder, posterior, decoder, likelihood="bernoulli", prior=None, num_samples=1, **kwargs):
        super().__init__(likelihood, num_samples, **kwargs)
        _check_parts(self, encoder, posterior, decoder)
        self.encoder = encoder
        self.posterior = posterior
        self.decoder = decoder
        self._given_prior = prior
        self.prior = self._make_prior(prior)

    def _make_prior(self, prior):
        event_shape = list(self.posterior.event_shape)
        if prior is None:
            zero = tf.zeros([], self.density_dtype)
            return tfd.Sample(tfd.Normal(zero, tf.ones_like(zero)), sample_shape=event_shape)
        if isinstance(prior, dict):
            prior = self._given_prior = keras.saving.deserialize_keras_object(prior)
        if callable(prior):
            prior = prior()
        if not isinstance(prior, tfd.Distribution):
            raise ValueError(f"prior must be a tfd.Distribution or a callable that returns one, got {type(prior).__name__}.")
        if prior.event_shape != event_shape or prior.batch_shape != []:
            raise ValueError(
                f"The prior must have batch_shape [] and the latent's event_shape {event_shape}, got batch_shape "
                f"{prior.batch_shape} and event_shape {prior.event_shape}."
            )
        if prior.dtype != self.density_dtype:
            raise ValueError(f"The prior must have dtype {self.density_dtype} as the model has, got {prior.dtype}.")
        if prior.trainable_variables:
            raise ValueError("The prior holds trainable variables, which Keras would neither train nor save: make it fixed.")
        return prior

    def build(self, input_shape):
        input_shape = tuple(input_shape)
        features = _output_of(self.encoder, keras.KerasTensor(input_shape, dtype=self.density_dtype))
        try:
            self.posterior.check_features_shape(tuple(features.shape))
        except ValueError as error:
            hint = "; end the encoder with keras.layers.Flatten()" if len(self.posterior.event_shape) == 1 else ""
            raise ValueError(f"The encoder does not fit the posterior: {str(error).rstrip('.')}{hint}.") from None
        z, _ = _output_of(self.posterior, features)
        parameters = _output_of(self.decoder, z)
        likelihoods.check(self.likelihood, tuple(parameters.shape[1:]), input_shape[1:], self.density_dtype)
        self.data_shape = input_shape[1:]

    def elbo_terms(self, x, num_samples=1, seed=None, training=None):
        """The terms of the bound at S samples of q(z|x).

        Args:
            x: `[B, ...]`.
            num_samples: S.
            seed: int32 tensor of shape [2]; None takes the next of the posterior's own.
            training: passed to encoder and decoder.

        Returns:
            A dict of `z` `[S, B, D]`, and `[S, B]` each: `reconstruction` log p(x|z), `kl` log q(z|x) - log p(z).
        """
        x = self.as_input(x)
        features = self.encoder(x, training=training)
        z, log_q = self.posterior(features, num_samples=num_samples, seed=seed)
        rows = tf.reshape(z, [-1, *self.posterior.event_shape])
        return {
            "z": z,
            "kl": log_q - self.prior.log_prob(z),
            "reconstruction": self.log_likelihood_of(x, self.decode(rows, training=training), num_samples),
        }

    def encode(self, x):
        """The features of x, `[B, F]`: what the posterior is conditioned on."""
        return self.encoder(self.as_input(x), training=False)

    def decode(self, z, training=False):
        return tf.cast(self.decoder(z, training=training), self.density_dtype)

    def latent_specs(self):
        return tf.TensorSpec((None, *self.posterior.event_shape), self.density_dtype, name="z")

    def posterior_sample(self, x, seed=None):
        return self.posterior(self.encode(x), seed=seed)

    def posterior_log_prob(self, x, z):
        return self.posterior.log_prob(self.encode(x), z)

    def prior_sample(self, num_samples, seed, temperature=1.0):
        """(z, the likelihood's parameters there) of `num_samples` draws of the prior.

        Args:
            num_samples: N.
            seed: int32 tensor of shape [2].
            temperature: factor of the standard normal prior's scale; 1 for another prior.
        """
        if self._given_prior is not None and temperature != 1.0:
            raise ValueError("A temperature scales the standard normal prior; this model has a prior of its own.")
        z = temperature * self.prior.sample(num_samples, seed=seed)
        return z, self.decode(z)

    def get_config(self):
        prior = self._given_prior
        if isinstance(prior, tfd.Distribution):
            raise ValueError(
                "A tfd.Distribution as prior cannot be written into a .keras file: pass a function that returns it, decorated "
                "with @keras.saving.register_keras_serializable(), or save the weights alone."
            )
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "posterior": keras.saving.serialize_keras_object(self.posterior),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "prior": None if prior is None else keras.saving.serialize_keras_object(prior),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects=custom_objects)
            for name in ("encoder", "posterior", "decoder")
        }
        return cls(**{**config, **parts})


def _check_parts(model, encoder, posterior, decoder):
    for name, part, kind in (
        ("encoder", encoder, keras.layers.Layer),
        ("posterior", posterior, Posterior),
        ("decoder", decoder, keras.layers.Layer),
    ):
        if not isinstance(part, kind):
            expected = "a tfp_iaf.posteriors layer" if kind is Posterior else "a Keras layer or model"
            raise ValueError(f"{name} must be {expected}, got {type(part).__name__}.")
    if density_dtype(posterior) != density_dtype(model):
        raise ValueError(
            f"The posterior works in {density_dtype(posterior)}, the model in {density_dtype(model)}: give them the same dtype."
        )


def _output_of(layer, inputs):
    """The symbolic output of a layer, built for these inputs if it is not yet."""
    if not layer.built:
        layer.build(inputs.shape)
    return layer.compute_output_spec(inputs)
