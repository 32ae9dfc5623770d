"""The variational autoencoder as a Keras model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import likelihoods, objectives, priors
from tfp_iaf._arguments import choice
from tfp_iaf._keras_arguments import check_layer
from tfp_iaf._tensors import check_numbers, count
from tfp_iaf._types import Data, Seed, Shape, TensorLike
from tfp_iaf.likelihoods import Likelihood
from tfp_iaf.models import _parts
from tfp_iaf.models._free_bits import FreeBits
from tfp_iaf.models.elbo_model import ElboModel
from tfp_iaf.noise import seed_pair
from tfp_iaf.posteriors import Posterior

__all__ = ["VAE"]

# Whether the bound is importance-weighted, and whether log q's gradient flows along the sample's path.
OBJECTIVES = {
    "elbo": (False, False),
    "sticking_the_landing": (False, True),
    "importance_weighted": (True, False),
    "doubly_reparameterized": (True, True),
}


@keras.saving.register_keras_serializable("tfp_iaf")
class VAE(ElboModel):
    """A variational autoencoder: x -> encoder -> q(z|x) -> z -> decoder -> p(x|z), trained on the evidence lower bound.

    ```none
    elbo(x) = E_q(z|x) [log p(x|z)] - E_q(z|x) [log q(z|x) - log p(z)] = reconstruction - kl      (nats per example)
    loss    = -mean over the batch of (reconstruction - kl_weight * kl) + regularization losses
    ```

    | objective | training maximizes | with the gradient |
    |---|---|---|
    | "elbo" | the elbo | of that estimate |
    | "sticking_the_landing" | the elbo | without a part of mean 0; it vanishes where q is the true posterior |
    | "importance_weighted" | log (1/S) sum_s p(x, z_s) / q(z_s given x) with S = num_samples | of that estimate |
    | "doubly_reparameterized" | the same | with the same mean, and less noise the larger S is |

    With S = 1 "importance_weighted" is "elbo", and "doubly_reparameterized" is "sticking_the_landing". Whatever the objective,
    evaluation, `val_loss` and the metrics are those of the elbo; the training `loss` is that of the objective, so with S > 1 it
    lies below `val_loss`.

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
        num_samples: S, posterior samples per example in training and evaluation.
        objective: "elbo", "sticking_the_landing", "importance_weighted" or "doubly_reparameterized". The second and the
            last need flows with an inverse, or with `forward_and_score`, which spares them the inversion.
        free_bits: lambda, nats per entry of a latent vector (per channel of latents with places) that the KL may hold without
            being penalized; per latent, where the flows or the prior do not split by entry. 0 for none.
        soft_free_bits: whether lambda acts through a weight per KL term that training adapts, in place of clipping
            (`objectives.soft_free_bits_weights`).
        **kwargs: `name`, `dtype` of `keras.Model`.

    Raises:
        ValueError: for an unknown likelihood, parts that do not fit each other or the data, a decoder that ends in a bounded
            activation such as sigmoid, parts of different precision; an objective that would be biased (sticking the landing
            with several samples) or has no KL for free bits; in `fit`, `evaluate`, `predict` and calls outside
            `tf.function`s, for NaN and for data that the likelihood gives no probability.

    Source: Kingma and Welling 2014, equations 3 and 7; with a condition Sohn et al. 2015. Objectives: Roeder et al. 2017; Burda
    et al. 2016; Tucker et al. 2019.

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

    def __init__(
        self,
        encoder: keras.layers.Layer,
        posterior: Posterior,
        decoder: keras.layers.Layer,
        likelihood: str | Likelihood | Callable = "bernoulli",
        prior: priors.Prior | tfp.distributions.Distribution | Callable | None = None,
        num_samples: int = 1,
        objective: str = "elbo",
        free_bits: float = 0.0,
        soft_free_bits: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(likelihoods.get(likelihood), num_samples, **kwargs)
        self._free_bits = FreeBits(free_bits, soft_free_bits)
        self.free_bits = self._free_bits.minimum
        _check_objective(objective, self.num_samples, self.free_bits)
        self.objective = objective
        self.soft_free_bits = soft_free_bits
        self._is_importance_weighted, self._follows_path = OBJECTIVES[objective]
        self.weights_kl = not self._is_importance_weighted
        self.anneals_free_energy = self.weights_kl and not self.free_bits
        check_layer("encoder", encoder)
        _parts.check_posterior(self, posterior)
        check_layer("decoder", decoder)
        self.encoder = encoder
        self.posterior = posterior
        self.decoder = decoder
        self.prior = priors.get(prior, dtype=self.dtype_policy.name)
        _parts.check_precision("prior", self.prior, self)
        self._memory.decoder_is_opaque = False

    def build(self, input_shape: Shape | Sequence[Shape]) -> None:
        self.set_shapes(input_shape)
        x = self._symbolic(self.data_shape)
        condition = None if self.condition_shape is None else self._symbolic(self.condition_shape)
        features = _parts.output_of("encoder", self.encoder, _joined(x, condition))
        _parts.fitting_features(self.posterior, features)
        self.prior.connect(self)
        if not self.prior.built:
            self.prior.build(tuple(self.posterior.event_shape))
        if self._follows_path and not self.posterior.has_score:
            raise ValueError(
                f"objective={self.objective!r} needs the score of log q, and a flow of {self.posterior.name} has no inverse "
                "and no forward_and_score: use 'elbo' or 'importance_weighted'."
            )
        self._splits_by_entry = bool(self.free_bits) and self.posterior.splits_by_entry and self.prior.splits_by_entry
        if self.free_bits:
            num_groups = self.posterior.event_shape[-1] if self._splits_by_entry else 1
            self.free_bits_weights = self._free_bits.make_weights(self, num_groups)
        z = self._symbolic(self.posterior.event_shape)
        parameters = _parts.output_of("decoder", self.decoder, _joined(z, condition))
        _parts.check_likelihood(self.likelihood, tuple(parameters.shape[1:]), self.data_shape, self.density_dtype)
        if self.likelihood.needs_unbounded_parameters:
            self._memory.decoder_is_opaque = _parts.check_unbounded(self.decoder, self.likelihood)

    def _symbolic(self, shape):
        return keras.KerasTensor((None, *shape), dtype=self.density_dtype)

    def elbo_terms(
        self,
        x: Data,
        num_samples: int = 1,
        seed: Seed | None = None,
        training: bool | None = None,
        noise: TensorLike | None = None,
    ) -> dict[str, tf.Tensor]:
        """The terms of the bound at S samples of q(z|x).

        Args:
            x: `[B, ...]`, or (x, condition).
            num_samples: S.
            seed: an integer or a pair; None takes the next of the posterior's own.
            training: passed to encoder and decoder; if true, gradients are those of the objective.
            noise: `[B, D]`, standard normal, of the one sample per example; in place of a seed.

        Returns:
            A dict of `z` `[S, B, D]`, and `[S, B]` each: `reconstruction` log p(x|z), `kl` log q(z|x) - log p(z). In training
            also `log_q` log q(z|x), or with free bits `kl_per_map` `[S, B, J]`, kl by entry of a vector or channel; and with
            an importance-weighted objective `bound` `[1, B]`.
        """
        inputs = self.as_input(x)
        if not self.built:
            self.check_built()
        if type(num_samples) is not int or num_samples < 1:
            num_samples = count("num_samples", num_samples)
        x, condition = self.split(inputs)
        features = self.encoder(_joined(x, condition), training=training)
        z, log_q = self._draw(features, num_samples, seed, noise, training, lambda: weights)  # type: ignore[has-type]
        rows = tf.reshape(z, [-1, *self.posterior.event_shape])
        parameters = self.decode(rows, self.repeated(condition, num_samples), training=training)
        terms = {"z": z, "reconstruction": self.log_likelihood_of(x, parameters, num_samples)}
        if training and self._splits_by_entry:
            axes = range(2, 1 + len(self.posterior.event_shape))
            terms["kl_per_map"] = tf.reduce_sum(log_q - self.prior.log_prob_by_entry(z, condition=condition), axis=axes)
            return {**terms, "kl": tf.reduce_sum(terms["kl_per_map"], axis=-1)}
        log_prior = self.prior.log_prob(z, condition=condition)
        if log_prior.shape != log_q.shape:
            _parts.check_log_prob(self.prior, log_prior.shape, log_q.shape)
        terms["kl"] = log_q - log_prior
        if training:
            terms |= {"kl_per_map": terms["kl"][..., tf.newaxis]} if self.free_bits else {"log_q": log_q}
        if training and self._is_importance_weighted:
            log_weights = objectives.elbo(terms["reconstruction"], terms["kl"])
            weights = tf.stop_gradient(tf.nn.softmax(log_weights, axis=0))
            terms["bound"] = objectives.importance_weighted_bound(log_weights)[tf.newaxis]
        return terms

    def _draw(self, features, num_samples, seed, noise, training, weights):
        """z `[S, B, D]` and log q `[S, B]`.

        In training with free bits that split by entry, log q is `[S, B, D]`. With an objective that follows the path, the
        gradient of log q is the one through z alone; `weights` returns the normalized importance weights `[S, B]`, once they
        are known.
        """
        seed = None if seed is None else seed_pair(seed)
        by_entry, along_path = training and self._splits_by_entry, training and self._follows_path
        if noise is None and not (by_entry or along_path):
            return self.posterior(features, num_samples=num_samples, seed=seed)
        parameters = self.posterior.read(features)
        if noise is None:
            noise = self.posterior.noise(parameters, num_samples, seed)
        else:
            self.check_noise(num_samples, seed)
            noise = self._rows_of_latents("noise", noise, features.shape[0])[tf.newaxis]
        if not along_path:
            return self.posterior.draw(parameters, noise, by_entry=by_entry)
        z, log_q, score = self.posterior.draw_with_score(parameters, noise)
        if self._is_importance_weighted:
            z = objectives.scale_gradient(z, weights)
        return z, objectives.along_path(log_q, score, z)

    def _rows_of_latents(self, name, value, num_rows=None):
        """z or noise `[B, D]` as a tensor; num_rows is B, where it is known."""
        if not (isinstance(value, tf.Tensor) and value.dtype.is_floating):
            check_numbers(name, value)
        value = tf.cast(value, self.density_dtype)
        if not value.shape.is_compatible_with([num_rows, *self.posterior.event_shape]):
            expected = ", ".join(map(str, [num_rows or "batch", *self.posterior.event_shape]))
            raise ValueError(f"The model takes {name} of shape [{expected}], got {tuple(value.shape)}.")
        return value

    def encode(self, x: Data) -> tf.Tensor:
        """The features of x, or of (x, condition), `[B, F]`: what the posterior is given."""
        return self.encoder(_joined(*self.split(self.as_input(x))), training=False)

    def encode_mean(self, x: Data) -> tf.Tensor:
        """z at the mean of the posterior's base, `[B, D]`: the same at every call."""
        return self.posterior(self.encode(x), sample=False)[0]

    def decode(self, z: TensorLike, condition: TensorLike | None = None, training: bool = False) -> tf.Tensor:
        """The likelihood's parameters at z `[B, D]`, in `density_dtype`; `condition` as of `sample`."""
        z = self._rows_of_latents("z", z)
        condition = self.condition_rows(condition, z.shape[0] or tf.shape(z)[0])
        return tf.cast(self.decoder(_joined(z, condition), training=training), self.density_dtype)

    def latent_specs(self) -> tf.TensorSpec:
        return tf.TensorSpec((None, *self.posterior.event_shape), self.density_dtype, name="z")

    def noise_specs(self) -> tf.TensorSpec:
        return tf.TensorSpec((None, *self.posterior.event_shape), self.density_dtype, name="noise")

    def posterior_sample(
        self, x: Data, seed: Seed | None = None, noise: TensorLike | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if noise is None:
            return self.posterior(self.encode(x), seed=None if seed is None else seed_pair(seed))
        z, log_q = self._draw(self.encode(x), 1, seed, noise, False, None)
        return z[0], log_q[0]

    def posterior_log_prob(self, x: Data, z: TensorLike) -> tf.Tensor:
        return self.posterior.log_prob(self.encode(x), z)

    def prior_sample(
        self, num_samples: int, seed: Seed, temperature: float = 1.0, condition: TensorLike | None = None
    ) -> tf.Tensor:
        """`num_samples` draws of the prior, `[N, D]`; arguments as of `sample`."""
        num_samples, seed, temperature = self.checked_draw(num_samples, seed, temperature)
        condition = self.condition_rows(condition, num_samples)
        return self.prior.sample(num_samples, seed, temperature=temperature, condition=condition)

    def check_decoder(self) -> None:
        if not self._memory.decoder_is_opaque:
            return
        self._memory.decoder_is_opaque = False
        # Latents far out: an unbounded decoder answers with numbers far from [0, 1].
        rng = np.random.default_rng(0)
        z = 30.0 * rng.normal(size=[64, *self.posterior.event_shape])
        condition = None if self.condition_shape is None else tf.zeros([64, *self.condition_shape])
        found = _parts.bounds_of(np.asarray(self.decode(tf.constant(z, self.density_dtype), condition)))
        if found is not None:
            warnings.warn(
                f"All outputs of the decoder {found}, and the likelihood {self.likelihood.name} takes any real parameters, "
                "such as logits: if the decoder ends in an activation that bounds them, leave it out.",
                stacklevel=2,
            )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "posterior": keras.saving.serialize_keras_object(self.posterior),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "objective": self.objective,
            "free_bits": self.free_bits,
            "soft_free_bits": self.soft_free_bits,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> VAE:
        return cls(**_parts.deserialize_parts(config, ("encoder", "decoder"), custom_objects))


def _check_objective(objective, num_samples, free_bits):
    choice("objective", objective, OBJECTIVES)
    if objective == "sticking_the_landing" and num_samples > 1:
        raise ValueError(
            f"objective='sticking_the_landing' takes num_samples=1, got {num_samples}: with more importance samples its "
            "gradient is biased; use 'doubly_reparameterized'."
        )
    if free_bits and objective != "elbo":
        raise ValueError(
            f"free_bits bound the KL term of objective='elbo', and {objective!r} has none by entry: leave them out."
        )


def _joined(x, condition):
    """x, or the list [x, condition] of a conditional model."""
    return x if condition is None else [x, condition]
