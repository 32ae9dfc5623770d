"""The contract of models that are trained on the evidence lower bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfp_iaf import likelihoods, objectives
from tfp_iaf._arguments import given, integer
from tfp_iaf._tensors import count
from tfp_iaf._tensors import temperature as checked_temperature
from tfp_iaf._types import Data, Seed, TensorLike
from tfp_iaf.models._checked_model import CheckedModel, Untracked
from tfp_iaf.models._free_bits import FreeBits
from tfp_iaf.noise import seed_pair

__all__ = ["ElboModel"]


class ElboModel(CheckedModel):
    """A Keras model trained on a lower bound of log p(x), or of log p(x | condition).

    ```none
    elbo(x) = reconstruction - kl        (nats per example)
    loss    = -mean over the batch of (reconstruction - kl_weight * kl_objective) + regularization losses
    ```

    `compile` it with an optimizer and no loss. `fit(x)`, `evaluate(x)` and `predict(x)` take an array, a tensor, a DataFrame, a
    list, a `tf.data.Dataset` of batches, a generator or a `keras.utils.PyDataset`, all with the same checks. A conditional
    model takes `(x, condition)` in place of x: a list is data, a tuple is (x, condition). Datasets and generators give x,
    `(x,)` or, with weights, `(x, None, weights)`; of a conditional model `((x, condition),)`.

    Metrics: `loss`, `elbo`, `kl`, `reconstruction`, the last three without `kl_weight`. In `evaluate` and in `val_loss` the
    loss is -elbo plus regularization losses, whatever `kl_weight` is. With a `sample_weight` w, the loss is the mean over the
    batch of w times an example's, and the other metrics are weighted means, sum(w m) / sum(w). `kl_weight` is 1 unless
    `KLWarmUp` moves it, and no file holds it.

    A subclass writes `elbo_terms`; then `fit`, files and `evaluation` work. The other methods that only raise serve
    `reconstruct`, `sample` and `serving.export`, which leaves out what the model cannot answer. Each method that takes x begins
    with `self.as_input(x)`.

    Args:
        likelihood: what `likelihoods.get` takes; None for a model that has none.
        num_samples: posterior samples per example in training and evaluation.
        **kwargs: `name`, `dtype` of `keras.Model`.

    Attributes:
        data_shape, condition_shape: of one example, None until the model is built; `condition_shape` stays None in
            a model without a condition.
        weights_kl: true where the training loss has a KL term, which `KLWarmUp` may weight; false where training maximizes the
            `bound` of `call`'s outputs.
        has_latents: false where the density is exact. `serving.export` then serves `log_prob(x)`, or `log_prob(x, condition)`,
            and `sample`.
        data_name: what served models call x.
        anneals_free_energy: whether `call` returns `log_q` in training, for `FreeEnergyAnnealing`.

    >>> import numpy as np
    >>> import tensorflow_probability as tfp
    >>> class FactorAnalysis(ElboModel):
    ...     def __init__(self):
    ...         super().__init__(likelihood="normal")
    ...         self.encoder, self.decoder = keras.layers.Dense(2), keras.layers.Dense(6)
    ...
    ...     def elbo_terms(self, x, num_samples=1, seed=None, training=None):
    ...         x = self.as_input(x)
    ...         q = tfp.distributions.MultivariateNormalDiag(self.encoder(x), tf.ones([2]))
    ...         z = q.sample(num_samples, seed=seed)
    ...         log_p = self.log_likelihood_of(x, self.decoder(tf.reshape(z, [-1, 2])), num_samples)
    ...         prior = tfp.distributions.MultivariateNormalDiag(tf.zeros([2]))
    ...         return {"reconstruction": log_p, "kl": q.log_prob(z) - prior.log_prob(z)}
    >>> model = FactorAnalysis()
    >>> model.compile("adam")
    >>> sorted(model.fit(np.eye(3), verbose=0).history)
    ['elbo', 'kl', 'loss', 'reconstruction']
    """

    metric_names: tuple[str, ...] = ("elbo", "kl", "reconstruction")
    weights_kl = True
    has_latents = True
    # Of a model whose `call` returns `kl_per_map`.
    _free_bits: FreeBits | None = None
    free_bits_weights: Any = None

    def __init__(
        self, likelihood: str | likelihoods.Likelihood | Callable | None = None, num_samples: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(None if likelihood is None else likelihoods.get(likelihood), **kwargs)
        self.num_samples = integer("num_samples", num_samples)
        weight = tf.Variable(1.0, trainable=False, dtype=self.density_dtype, name="kl_weight")
        beta = tf.Variable(1.0, trainable=False, dtype=self.density_dtype, name="inverse_temperature")
        self.anneals_free_energy = False
        share = tf.Variable(1.0, trainable=False, dtype=self.density_dtype, name="share_of_rows")
        self._unsaved: Any = Untracked(kl_weight=weight, inverse_temperature=beta, share_of_rows=share)
        self.trackers = {name: keras.metrics.Mean(name=name) for name in self.metric_names}

    @property
    def kl_weight(self) -> tf.Variable:
        """The weight of the KL in the training loss, a variable that no file holds: 1 outside a `KLWarmUp`."""
        return self._unsaved.kl_weight

    @property
    def inverse_temperature(self) -> tf.Variable:
        """beta of the annealed free energy, a variable that no file holds: 1 outside a `FreeEnergyAnnealing`."""
        return self._unsaved.inverse_temperature

    @property
    def share_of_rows(self) -> tf.Variable:
        """The share of a training batch's rows that are examples, a variable that no file holds; 1 but in `distributed.fit`."""
        return self._unsaved.share_of_rows

    # What a subclass writes.

    def elbo_terms(
        self, x: Data, num_samples: int = 1, seed: Seed | None = None, training: bool | None = None
    ) -> dict[str, tf.Tensor]:
        """A dict of `kl` = log q(z|x) - log p(z) and `reconstruction` = log p(x|z), `[S, B]` each, at S samples of q(z|x)."""
        raise NotImplementedError(f"{type(self).__name__} must write elbo_terms(x, num_samples, seed, training).")

    def latent_specs(self) -> Any:
        """A `tf.TensorSpec` of z, `[B, ...]`, or a list of them, with the names that served models give them."""
        raise NotImplementedError(f"{type(self).__name__} has no latents that it could name.")

    def noise_specs(self) -> Any:
        """Specs, like `latent_specs`, of the standard normal noise of one posterior sample per example.

        A model that writes this takes `noise=` of that form in `posterior_sample` and `elbo_terms`, in place of a seed and for
        one sample.
        """
        raise NotImplementedError(f"{type(self).__name__} takes no noise.")

    def encode_mean(self, x: Data) -> Any:
        """z at the mean of the posterior's base: the same at every call."""
        raise NotImplementedError(f"{type(self).__name__} has no posterior with a base.")

    def posterior_sample(self, x: Data, seed: Seed | None = None) -> Any:
        """(z, log q(z|x) `[B]`) of one sample for each example; `seed` is an integer or a pair."""
        raise NotImplementedError(f"{type(self).__name__} has no posterior to sample.")

    def log_prob(self, x: TensorLike, *args: Any) -> tf.Tensor:
        """log p(x), or log p(x | condition), `[B]`, of a model without latents."""
        raise NotImplementedError(
            f"{type(self).__name__} has no exact density of x: evaluation.log_likelihood(model, x) estimates it."
        )

    def posterior_log_prob(self, x: Data, z: Any) -> tf.Tensor:
        """log q(z|x) of given latents, `[B]`, through the inverse of every flow."""
        raise NotImplementedError(f"{type(self).__name__} has no posterior density of given latents.")

    def prior_sample(self, num_samples: int, seed: Seed, temperature: float = 1.0, condition: TensorLike | None = None) -> Any:
        """z of `num_samples` draws of the prior, its base noise times `temperature`."""
        raise NotImplementedError(f"{type(self).__name__} has no prior to sample.")

    def decode(self, z: Any, condition: TensorLike | None = None, training: bool = False) -> tf.Tensor:
        """The likelihood's parameters at z, in `density_dtype`."""
        raise NotImplementedError(f"{type(self).__name__} has no decoder.")

    # What follows from it.

    def mean(self, z: Any, condition: TensorLike | None = None) -> tf.Tensor:
        """E[x given z], `[B, ...]`; NotImplementedError if the likelihood has no mean."""
        if self.likelihood is None:
            raise NotImplementedError(f"{type(self).__name__} has no likelihood, and so no mean.")
        return self.likelihood.mean(self.decode(z, condition))

    def reconstruct(self, x: Data, seed: Seed | None = None) -> tf.Tensor:
        """E[x given z] at one z ~ q(z|x) for each x, `[B, ...]`; `seed` is an integer or a pair."""
        x = self.as_input(x)
        return self.mean(self.posterior_sample(x, seed)[0], self.split(x)[1])

    def sample(
        self, num_samples: int, seed: Seed | None = None, temperature: float = 1.0, condition: TensorLike | None = None
    ) -> tf.Tensor:
        """E[x given z], a mean and no draw of x, at `num_samples` draws of the prior, `[N, ...]`.

        Args:
            num_samples: N.
            seed: an integer or a pair; equal seeds give equal samples. None draws afresh at each call.
            temperature: factor of the prior's base noise, at least 0; below 1, samples closer to the mode.
            condition: of a conditional model, `[N, ...]`, or one that all samples share.
        """
        num_samples, seed, temperature = self.checked_draw(num_samples, seed, temperature)
        condition = self.condition_rows(condition, num_samples)
        return self.mean(self.prior_sample(num_samples, seed, temperature, condition), condition)

    def kl_objective(self, y_pred: dict[str, tf.Tensor], sample_weight: tf.Tensor, training: bool) -> tf.Tensor:
        """The KL term of the training loss, a scalar, of `call`'s outputs and the examples' weights `[B]`."""
        if self._free_bits is None or not self._free_bits.minimum:
            return tf.reduce_mean(y_pred["kl"] * sample_weight)
        return self._free_bits.kl(self._training_term(y_pred, "kl_per_map"), sample_weight, self.free_bits_weights, training)

    def call(self, x: Data, training: bool | None = None) -> dict[str, tf.Tensor]:
        terms = self.elbo_terms(x, num_samples=self.num_samples, training=training)
        for name in ("reconstruction", "kl"):
            if not (isinstance(terms, dict) and name in terms and len(terms[name].shape) == 2):
                got = {name: tuple(term.shape) for name, term in terms.items()} if isinstance(terms, dict) else terms
                raise ValueError(
                    f"{type(self).__name__}.elbo_terms must return a dict of reconstruction and kl, [num_samples, batch] each, "
                    f"got {given(got)}."
                )
        means = {name: tf.reduce_mean(value, axis=0) for name, value in terms.items() if name != "z"}
        return {"elbo": objectives.elbo(means["reconstruction"], means["kl"]), **means}

    def log_likelihood_of(self, x: tf.Tensor, parameters: tf.Tensor, num_samples: int) -> tf.Tensor:
        """log p(x|z) of x `[B, ...]` with the likelihood's parameters at S samples, `[S * B, ...]`, as `[S, B]`."""
        distribution = self.likelihood.distribution(parameters)
        return tf.reshape(distribution.log_prob(self.repeated(x, num_samples)), [num_samples, tf.shape(x)[0]])

    @staticmethod
    def repeated(x: tf.Tensor | None, num_samples: int) -> tf.Tensor | None:
        """x `[B, ...]` for each of S samples, `[S * B, ...]`; None stays None."""
        return None if x is None else tf.tile(x, tf.concat([[num_samples], tf.ones([len(x.shape) - 1], tf.int32)], axis=0))

    @staticmethod
    def check_noise(num_samples: int, seed: Seed | None) -> None:
        """Raises a ValueError unless so many samples and this seed go with noise that is given."""
        if num_samples != 1 or seed is not None:
            raise ValueError("noise is that of one sample per example: give no seed with it, and num_samples=1.")

    @staticmethod
    def checked_draw(num_samples: int, seed: Seed | None, temperature: float) -> tuple[int, tf.Tensor, float]:
        """(num_samples, seed as a pair, temperature), checked where they are not tensors of a graph."""
        num_samples = count("num_samples", num_samples)
        if isinstance(num_samples, int) and num_samples > 2**31 - 1:
            raise ValueError(f"num_samples must be at most 2^31 - 1, got {num_samples}.")
        if seed is None:
            seed = tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)  # Anew at each call, of graphs too.
        return num_samples, seed_pair(seed), checked_temperature(temperature)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: TensorLike | None = None, training: bool = True
    ) -> tf.Tensor:
        del x, y
        example = y_pred[self.metric_names[0]]
        weight = tf.ones_like(example)
        if sample_weight is not None:
            weight = tf.reshape(tf.cast(sample_weight, example.dtype), tf.shape(example))
        for name, tracker in self.trackers.items():
            tracker.update_state(y_pred[name], sample_weight=weight)
        # A mean over the rows, of which those that fill up a batch have the weight 0.
        weight = weight / tf.cast(self.share_of_rows, weight.dtype) if training else weight
        bound = self.weighted_bound(y_pred, weight, training)
        # Keras leaves replicas without rows where the last batch is small: their mean is no number.
        bound = tf.where(tf.size(example) > 0, bound, tf.zeros_like(bound))
        loss = -bound + sum(tf.cast(loss, bound.dtype) for loss in self.losses)
        # tf.distribute adds up the replicas' gradients.
        return loss / tf.distribute.get_strategy().num_replicas_in_sync

    def weighted_bound(self, y_pred: dict[str, tf.Tensor], sample_weight: tf.Tensor, training: bool) -> tf.Tensor:
        """What training maximizes, and in evaluation the elbo: a scalar of `call`'s outputs and the examples' weights `[B]`."""
        if not training:
            return tf.reduce_mean(y_pred["elbo"] * sample_weight)
        if not self.weights_kl:
            return tf.reduce_mean(self._training_term(y_pred, "bound") * sample_weight)
        kl = self.kl_objective(y_pred, sample_weight, training)
        reconstruction = tf.reduce_mean(y_pred["reconstruction"] * sample_weight)
        bound = objectives.elbo(reconstruction, kl, tf.cast(self.kl_weight, kl.dtype))
        if not self.anneals_free_energy:
            return bound
        log_q = tf.reduce_mean(self._training_term(y_pred, "log_q") * sample_weight)
        return objectives.annealed_free_energy(bound, log_q, tf.cast(self.inverse_temperature, kl.dtype))

    def _training_term(self, y_pred, name):
        if name not in y_pred:
            raise ValueError(
                f"{type(self).__name__}.elbo_terms must return {name} in training, got {', '.join(y_pred)}: pass its argument "
                "training on to super().elbo_terms."
            )
        return y_pred[name]

    def fit(self, x: Data = None, y: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        # A weight that an interrupted warm-up left behind would stay for ever.
        self.end_annealing()
        try:
            return super().fit(x, y, *args, **kwargs)
        finally:
            self.end_annealing()

    def end_annealing(self) -> None:
        """Gives the terms of the loss that a callback anneals the weight 1, which they have outside of its training."""
        self.kl_weight.assign(1.0)
        self.inverse_temperature.assign(1.0)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "num_samples": self.num_samples}
        if self.likelihood is not None:
            config["likelihood"] = likelihoods.serialize(self.likelihood)
        return config
