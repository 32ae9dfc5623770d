"""A density of y given a condition, by maximum likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf._arguments import given
from tfp_iaf._keras_arguments import check_layer
from tfp_iaf._tensors import check_numbers
from tfp_iaf._types import Data, Seed, Shape, TensorLike
from tfp_iaf.likelihoods.normal import standardization_hint
from tfp_iaf.models import _parts
from tfp_iaf.models._data import as_array
from tfp_iaf.models.elbo_model import ElboModel
from tfp_iaf.posteriors import Posterior

__all__ = ["ConditionalDensity"]


@keras.saving.register_keras_serializable("tfp_iaf")
class ConditionalDensity(ElboModel):
    """p(y given condition) as a flow whose context is read off the condition, trained by maximum likelihood.

    ```none
    log p(y | condition) = log q(y; encoder(condition)),   q = the posterior layer's density
    loss = -mean over the batch of log p(y | condition) + regularization losses
    ```

    Use it for regression with full densities in place of point forecasts, and for amortized inference, where y are the
    parameters of a simulator and the condition is its output. `fit((y, condition))` takes what `ElboModel.fit` takes, with y in
    the place of x. Metrics: `loss` and `log_likelihood` (nats per example). Standardize y and the conditions; undo it in
    samples, and subtract log(std) of each entry of y from `log_prob`, for y on its own scale.

    The density of given y needs the inverse of each flow. `IAF` with bijector_fn "affine" or "spline" is a good start. For
    one-dimensional y take "monotone" or "spline": affine flows of a single number make Gaussians.

    In the terms of `ElboModel` there is no latent: `elbo_terms` gives the log-density as `reconstruction`, and `kl` 0, so
    that `evaluation.log_likelihood(model, (y, condition))` is exact.

    Args:
        encoder: a Keras model or layer, condition -> features `[B, F]`.
        posterior: a layer of `tfp_iaf.posteriors` with an inverse; its latent size is the size of y.
        **kwargs: `name`, `dtype` of `keras.Model`.

    Raises:
        ValueError: for parts that do not fit each other or the data; for data as in `ElboModel`.
        NotImplementedError: in `fit`, for a posterior whose flows have no inverse.

    Source: Papamakarios and Murray 2016; for regression Trippe and Turner 2018.

    >>> from tfp_iaf import posteriors
    >>> model = ConditionalDensity(keras.layers.Dense(16, "relu"), posteriors.IAF(2, hidden_units=(16,)))
    >>> model.compile("adam")
    >>> y, condition = np.random.default_rng(0).normal(size=[2, 64, 2])
    >>> sorted(model.fit((y, condition), verbose=0).history)
    ['log_likelihood', 'loss']
    >>> model.log_prob(y, condition).shape
    TensorShape([64])
    >>> model.sample(100, seed=0, condition=condition).shape
    TensorShape([100, 64, 2])
    """

    metric_names = ("log_likelihood",)
    weights_kl = False
    has_latents = False
    data_name = "y"

    def __init__(self, encoder: keras.layers.Layer, posterior: Posterior, **kwargs: Any) -> None:
        for name in ("likelihood", "num_samples"):
            if name in kwargs:
                raise ValueError(f"A conditional density takes no {name}: leave it out.")
        super().__init__(**kwargs)
        check_layer("encoder", encoder)
        _parts.check_posterior(self, posterior)
        self.encoder = encoder
        self.posterior = posterior

    def build(self, input_shape: Shape | Sequence[Shape]) -> None:
        self.set_shapes(input_shape)
        if self.condition_shape is None:
            raise ValueError("The model takes the tuple (y, condition), got y alone.")
        condition = keras.KerasTensor((None, *self.condition_shape), dtype=self.density_dtype)
        features = _parts.output_of("encoder", self.encoder, condition)
        _parts.fitting_features(self.posterior, features)
        if not self.posterior.has_inverse:
            raise NotImplementedError(
                f"A conditional density scores given y, and a flow of {self.posterior.name} has no inverse: take one that has."
            )
        if self.data_shape != tuple(self.posterior.event_shape):
            raise ValueError(
                f"The posterior makes densities of shape {tuple(self.posterior.event_shape)}, got y of shape "
                f"{self.data_shape}: its latent size must be the size of y."
            )

    def call(self, x: Data, training: bool | None = None) -> dict[str, tf.Tensor]:
        y, condition = self.split(self.as_input(x))
        return {"log_likelihood": self.posterior(self.encoder(condition, training=training), value=y)}

    def weighted_bound(self, y_pred: dict[str, tf.Tensor], sample_weight: tf.Tensor, training: bool) -> tf.Tensor:
        del training
        return tf.reduce_mean(y_pred["log_likelihood"] * sample_weight)

    def elbo_terms(
        self, x: Data, num_samples: int = 1, seed: Seed | None = None, training: bool | None = None
    ) -> dict[str, tf.Tensor]:
        """`reconstruction` log p(y | condition), the same for each of S samples, and `kl` 0, `[S, B]` each."""
        del seed
        log_prob = self.call(x, training=training)["log_likelihood"]
        reconstruction = tf.tile(log_prob[tf.newaxis], [num_samples, 1])
        return {"reconstruction": reconstruction, "kl": tf.zeros_like(reconstruction)}

    def log_prob(self, y: TensorLike, condition: TensorLike) -> tf.Tensor:
        """log p(y | condition), `[B]`, of y `[B, ...]` and one condition for each, or one that all share.

        Several y for each condition, `[N, B, ...]` as from `sample`, give `[N, B]`.
        """
        y = y if hasattr(y, "shape") else as_array("y", y)
        condition = condition if hasattr(condition, "shape") else as_array("condition", condition)
        shape = tuple(y.shape)
        if self.built and len(shape) == len(self.data_shape) + 2:
            num_y, num_conditions = tf.unstack(tf.shape(y)[:2])
            rows = self.repeated(self.condition_rows(condition, shape[1] or num_conditions), num_y)
            log_prob = self.log_prob(tf.reshape(y, [num_y * num_conditions, *self.data_shape]), rows)
            return tf.reshape(log_prob, [num_y, num_conditions])
        if self.built and shape and tuple(condition.shape) in [self.condition_shape, (1, *self.condition_shape)]:
            condition = self.condition_rows(condition, shape[0] or tf.shape(y)[0])
        return self.call((y, condition), training=False)["log_likelihood"]

    def sample(
        self, num_samples: int, seed: Seed | None = None, temperature: float = 1.0, condition: TensorLike | None = None
    ) -> tf.Tensor:
        """Samples of y for each of B conditions, `[N, B, ...]`.

        Args:
            num_samples: N.
            seed: an integer or a pair; equal seeds give equal samples. None draws afresh at each call.
            temperature: only 1.
            condition: `[B, ...]`; a single one counts as B = 1.
        """
        num_samples, seed, temperature = self.checked_draw(num_samples, seed, temperature)
        if isinstance(temperature, tf.Tensor) or temperature != 1.0:
            raise ValueError(f"A conditional density is sampled at temperature 1, got {given(temperature)}.")
        return self.posterior(self.encode(condition), num_samples=num_samples, seed=seed)[0]

    def encode(self, condition: TensorLike) -> tf.Tensor:
        """The features of conditions `[B, ...]`, `[B, F]`: what the flow's context is read off."""
        self.check_built()
        if condition is not None:
            check_numbers("The condition", condition)
        shape = condition.shape if hasattr(condition, "shape") else np.shape(condition)
        is_batch = condition is not None and len(shape) > len(self.condition_shape)
        rows = shape[0] if is_batch else 1
        return self.encoder(self.condition_rows(condition, tf.shape(condition)[0] if rows is None else rows), training=False)

    def distribution(self, condition: TensorLike) -> tfp.distributions.Distribution:
        """p(y | condition) as a `tfd.Distribution` of batch_shape [B] and y's event_shape."""
        return self.posterior.distribution(self.encode(condition))

    def hint(self, data: np.ndarray) -> str | None:
        return standardization_hint("A conditional density expects standardized y", data)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "posterior": keras.saving.serialize_keras_object(self.posterior),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> ConditionalDensity:
        config = {name: value for name, value in config.items() if name != "num_samples"}
        return cls(**_parts.deserialize_parts(config, ("encoder",), custom_objects))
