"""What a prior is: a Keras layer that scores and draws latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_iaf._arguments import given, integers
from tfp_iaf._inherited import drop_outdated
from tfp_iaf._tensors import check_numbers, count
from tfp_iaf._tensors import temperature as checked_temperature
from tfp_iaf._types import Seed, TensorLike
from tfp_iaf.layers import TrackedLayer, density_dtype
from tfp_iaf.noise import seed_pair

__all__ = ["Prior"]


class Prior(TrackedLayer):
    """p(z), or p(z | condition): `prior.log_prob(z)` and `prior.sample(n, seed)`.

    How to write one: make weights in `build(latent_shape)`, which the model calls with the shape of one latent, and define
    `log_prob` and `sample`. Register the class with `keras.saving.register_keras_serializable()`, and extend `get_config` if
    its constructor takes arguments. Weights made with `self.add_weight(..., autocast=False)` keep their precision in models of
    half precision; a `tf.Variable` would be neither trained nor saved. `sample` starts with `check_sample_arguments`, which
    takes integers and pairs as seeds. A subclass of another prior that writes `log_prob` anew writes `sample` anew, too.

    Attributes:
        latent_shape: the shape of one latent, once built.
        density_dtype: "float64" under that policy, otherwise "float32".

    Args:
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`; the dtype is that of the model.

    >>> import math
    >>> class Shifted(Prior):
    ...     def build(self, latent_shape):
    ...         super().build(latent_shape)
    ...         self.shift = self.add_weight(shape=latent_shape, initializer="ones", autocast=False)
    ...     def log_prob(self, z, condition=None):
    ...         return tf.reduce_sum(-0.5 * tf.square(z - self.shift) - 0.5 * math.log(2.0 * math.pi), axis=-1)
    ...     def sample(self, n, seed, temperature=1.0, condition=None):
    ...         from tfp_iaf.noise import standard_normal
    ...         n, seed, temperature = self.check_sample_arguments(n, seed, temperature)
    ...         return self.shift + temperature * standard_normal([n, *self.latent_shape], seed, self.density_dtype)
    >>> prior = Shifted()
    >>> prior.build((2,))
    >>> z = prior.sample(5, seed=0)
    >>> z.shape, prior.log_prob(z).shape, len(prior.trainable_weights)
    (TensorShape([5, 2]), TensorShape([5]), 1)
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        drop_outdated(cls, Prior, "log_prob", "log_prob_by_entry", "sample")

    def __init__(self, **kwargs: Any) -> None:
        # A given z keeps its precision under a policy of half precision.
        super().__init__(**{"autocast": False, **kwargs})
        self.latent_shape: tuple[int, ...] = None
        self.density_dtype = density_dtype(self)

    def connect(self, model: keras.Model) -> None:
        """Called by the model before `build`, for priors that are made of its other parts, such as `VampPrior`."""

    def build(self, latent_shape: Sequence[int]) -> None:
        """Makes the weights; `latent_shape` is the shape of one latent, without a batch axis."""
        self.latent_shape = integers("latent_shape", latent_shape, "the sizes of the latent")
        if not self.latent_shape:
            raise ValueError(f"latent_shape must have at least one axis, got {given(latent_shape)}: a single latent has (1,).")

    def log_prob(self, z: tf.Tensor, condition: TensorLike | None = None) -> tf.Tensor:
        """log p(z), `[..., *latent_shape]` -> `[...]`.

        `condition`, of a conditional model, is `[B, ...]` for z `[S, B, *latent_shape]` or `[B, *latent_shape]`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no log_prob: define it.")

    def log_prob_by_entry(self, z: tf.Tensor, condition: TensorLike | None = None) -> tf.Tensor:
        """log p of each entry, of z's shape, of a prior whose entries are independent: then a KL splits by entry."""
        raise NotImplementedError(f"The log_prob of {type(self).__name__} is no sum over the latent's entries.")

    @property
    def splits_by_entry(self) -> bool:
        """Whether the prior defines `log_prob_by_entry`."""
        return type(self).log_prob_by_entry is not Prior.log_prob_by_entry

    def sample(self, n: int, seed: Seed, temperature: float = 1.0, condition: TensorLike | None = None) -> tf.Tensor:
        """n draws `[n, *latent_shape]`.

        Args:
            n: a positive integer.
            seed: an integer or a pair; the same one gives the same draws.
            temperature: factor of the scale of the base noise; not negative.
            condition: n rows, or None.
        """
        raise NotImplementedError(f"{type(self).__name__} has no sample: define it.")

    def call(self, z: tf.Tensor, condition: TensorLike | None = None) -> tf.Tensor:
        return self.log_prob(z, condition=condition)

    def check_sample_arguments(self, n: int, seed: Seed, temperature: float) -> tuple[int, tf.Tensor, tf.Tensor]:
        """(n, seed as an int32 tensor [2], temperature as a tensor), a ValueError for values out of range; tensors pass."""
        if self.latent_shape is None:
            raise ValueError(f"{self.name} knows no latents yet: build it for the shape of one latent, or build its model.")
        return count("n", n), seed_pair(seed), tf.cast(checked_temperature(temperature), self.density_dtype)

    def as_latents(self, z: TensorLike) -> tf.Tensor:
        """z `[..., *latent_shape]` as a tensor of `density_dtype`, a ValueError for other shapes: `log_prob` begins with it."""
        check_numbers(f"z of {self.name}", z)
        z = tf.cast(z, self.density_dtype)
        axes = len(self.latent_shape)
        if z.shape.rank is not None and not (z.shape.rank >= axes and z.shape[-axes:].is_compatible_with(self.latent_shape)):
            expected = ", ".join(map(str, self.latent_shape))
            raise ValueError(f"{self.name} expects z of shape [..., {expected}], got {tuple(z.shape)}.")
        return z
