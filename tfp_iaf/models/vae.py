"""The variational autoencoder as a Keras model."""

import warnings

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import priors
from tfp_iaf.models import _parts
from tfp_iaf.models.elbo_model import ElboModel
from tfp_iaf.noise import seed_pair

__all__ = ["VAE"]


@keras.saving.register_keras_serializable("tfp_iaf")
class VAE(ElboModel):
    """A variational autoencoder: x -> encoder -> q(z|x) -> z -> decoder -> p(x|z), trained on the evidence lower bound.

    ```none
    elbo(x) = E_q(z|x) [log p(x|z)] - E_q(z|x) [log q(z|x) - log p(z)] = reconstruction - kl      (nats per example)
    loss    = -mean over the batch of (reconstruction - kl_weight * kl) + regularization losses
    ```

    A model that is fitted on (x, condition) is conditional; the condition may be a label or covariates. Then each density is
    given the condition: the encoder takes the list [x, condition], the decoder [z, condition], and the prior sees it too.
    `fit`, `evaluate`, `predict`, the kinds of data and the metrics are those of `ElboModel`.

    Args:
        encoder: a Keras model or layer, x -> features `[B, F]`.
        posterior: a layer of `tfp_iaf.posteriors`, or a `Posterior` of your own.
        decoder: a Keras model or layer, z `[B, D]` -> the likelihood's parameters. It ends in a linear layer.
        likelihood: "bernoulli" (the decoder gives logits), "normal" (locations, then scale parameters in the last axis),
            "discretized_logistic" (likewise; the data are the integers 0 to 255); a `likelihoods.Likelihood`; or a callable
            from the decoder's output `[B, ...]` to a `tfd.Distribution` of batch_shape [B].
        prior: None for the standard normal; a `priors.Prior`, trained with the model if it has weights; or what `priors.get`
            takes, a fixed distribution or a registered callable that returns one.
        num_samples: posterior samples per example in training and evaluation.
        **kwargs: `name`, `dtype` of `keras.Model`.

    Raises:
        ValueError: for an unknown likelihood, parts that do not fit each other or the data, a decoder that ends in a bounded
            activation such as sigmoid, parts of different precision; in `fit`, `evaluate`, `predict` and calls outside
            `tf.function`s, for NaN and for data that the likelihood gives no probability.

    Source: Kingma and Welling 2014, equations 3 and 7; with a condition Sohn et al. 2015.

    >>> from tfp_iaf import posteriors
    >>> model = VAE(
    ...     encoder=keras.Sequential([keras.layers.Dense(16, "relu")]),
    ...     posterior=posteriors.IAF(latent_size=2, hidden_units=(16,)),
    ...     decoder=keras.Sequential([keras.layers.Dense(16, "relu"), keras.layers.Dense(12)]))
    >>> model.compile(keras.optimizers.Adamax(2e-3))
    >>> history = model.fit(np.ones([64, 12]), batch_size=32, epochs=2, verbose=0)
    >>> sorted(history.history)
    ['elbo', 'kl', 'loss', 'reconstruction']

    The same of (x, label):

    >>> def joined(*layers):
    ...     return keras.Sequential([keras.layers.Concatenate(), *layers])
    >>> model = VAE(
    ...     encoder=joined(keras.layers.Dense(16, "relu")),
    ...     posterior=posteriors.IAF(latent_size=2, hidden_units=(16,)),
    ...     decoder=joined(keras.layers.Dense(16, "relu"), keras.layers.Dense(12)))
    >>> model.compile(keras.optimizers.Adamax(2e-3))
    >>> history = model.fit((np.ones([64, 12]), np.eye(64)[:, :3]), verbose=0)
    >>> model.sample(5, seed=0, condition=[0, 1, 0]).shape
    TensorShape([5, 12])
    """

    def __init__(self, encoder, posterior, decoder, likelihood="bernoulli", prior=None, num_samples=1, **kwargs):
        super().__init__(likelihood, num_samples, **kwargs)
        _parts.check_layer("encoder", encoder)
        _parts.check_posterior(self, posterior)
        _parts.check_layer("decoder", decoder)
        self.encoder = encoder
        self.posterior = posterior
        self.decoder = decoder
        self.prior = priors.get(prior, dtype=self.dtype_policy.name)
        self._memory.decoder_is_opaque = False

    def build(self, input_shape):
        self.set_shapes(input_shape)
        x = self._symbolic(self.data_shape)
        condition = None if self.condition_shape is None else self._symbolic(self.condition_shape)
        features = _parts.output_of("encoder", self.encoder, _joined(x, condition))
        _parts.fitting_features(self.posterior, features)
        if not self.prior.built:
            self.prior.build(tuple(self.posterior.event_shape))
        z = self._symbolic(self.posterior.event_shape)
        parameters = _parts.output_of("decoder", self.decoder, _joined(z, condition))
        _parts.check_likelihood(self.likelihood, tuple(parameters.shape[1:]), self.data_shape, self.density_dtype)
        if self.likelihood.needs_unbounded_parameters:
            activation = _parts.bounded_activation(self.decoder)
            self._memory.decoder_is_opaque = activation is None
            if activation:
                raise ValueError(
                    f"The decoder ends in {activation}, which is bounded, and the likelihood {self.likelihood.name} takes any "
                    "real parameters, such as logits: end the decoder in a layer without activation."
                )

    def _symbolic(self, shape):
        return keras.KerasTensor((None, *shape), dtype=self.density_dtype)

    def elbo_terms(self, x, num_samples=1, seed=None, training=None):
        """The terms of the bound at S samples of q(z|x).

        Args:
            x: `[B, ...]`, or (x, condition).
            num_samples: S.
            seed: an integer or a pair; None takes the next of the posterior's own.
            training: passed to encoder and decoder.

        Returns:
            A dict of `z` `[S, B, D]`, and `[S, B]` each: `reconstruction` log p(x|z), `kl` log q(z|x) - log p(z).
        """
        inputs = self.as_input(x)
        x, condition = self.split(inputs)
        features = self.encoder(_joined(x, condition), training=training)
        z, log_q = self.posterior(features, num_samples=num_samples, seed=None if seed is None else seed_pair(seed))
        rows = tf.reshape(z, [-1, *self.posterior.event_shape])
        parameters = self.decode(rows, self.repeated(condition, num_samples), training=training)
        return {
            "z": z,
            "kl": log_q - self.prior.log_prob(z, condition=condition),
            "reconstruction": self.log_likelihood_of(x, parameters, num_samples),
        }

    def encode(self, x):
        """The features of x, or of (x, condition), `[B, F]`: what the posterior is given."""
        return self.encoder(_joined(*self.split(self.as_input(x))), training=False)

    def encode_mean(self, x):
        """z at the mean of the posterior's base, `[B, D]`: the same at every call."""
        return self.posterior(self.encode(x), sample=False)[0]

    def decode(self, z, condition=None, training=False):
        """The likelihood's parameters at z `[B, D]`, in `density_dtype`; a conditional model takes a condition for each row."""
        if condition is not None:
            condition = tf.cast(condition, self.density_dtype)
        return tf.cast(self.decoder(_joined(z, condition), training=training), self.density_dtype)

    def latent_specs(self):
        return tf.TensorSpec((None, *self.posterior.event_shape), self.density_dtype, name="z")

    def posterior_sample(self, x, seed=None):
        return self.posterior(self.encode(x), seed=None if seed is None else seed_pair(seed))

    def posterior_log_prob(self, x, z):
        return self.posterior(self.encode(x), value=z)

    def prior_sample(self, num_samples, seed, temperature=1.0, condition=None):
        """`num_samples` draws of the prior, `[N, D]`; arguments as of `sample`."""
        num_samples, seed, temperature = self.checked_draw(num_samples, seed, temperature)
        condition = self.condition_rows(condition, num_samples)
        return self.prior.sample(num_samples, seed, temperature=temperature, condition=condition)

    def check_decoder(self):
        if not self._memory.decoder_is_opaque:
            return
        self._memory.decoder_is_opaque = False
        # Latents far out: an unbounded decoder answers with numbers far from [0, 1].
        rng = np.random.default_rng(0)
        z = 30.0 * rng.normal(size=[64, *self.posterior.event_shape])
        condition = None if self.condition_shape is None else tf.zeros([64, *self.condition_shape])
        outputs = np.asarray(self.decode(tf.constant(z, self.density_dtype), condition))
        if outputs.min() >= 0.0 and outputs.max() <= 1.0 and outputs.min() < outputs.max():
            warnings.warn(
                f"All outputs of the decoder lie in [0, 1], and the likelihood {self.likelihood.name} takes any real "
                "parameters, such as logits: if the decoder ends in a sigmoid, leave it out.",
                stacklevel=2,
            )

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "posterior": keras.saving.serialize_keras_object(self.posterior),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "prior": keras.saving.serialize_keras_object(self.prior),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**_parts.deserialize_parts(config, ("encoder", "decoder"), custom_objects))


def _joined(x, condition):
    """x, or the list [x, condition] of a conditional model."""
    return x if condition is None else [x, condition]
