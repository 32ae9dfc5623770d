"""The standard normal prior."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from tfp_iaf._types import Seed, TensorLike
from tfp_iaf.noise import standard_normal
from tfp_iaf.priors.base import Prior

__all__ = ["StandardNormal"]


@keras.saving.register_keras_serializable("tfp_iaf")
class StandardNormal(Prior):
    """p(z) = N(z; 0, I), at temperature t sampled as N(0, t^2 I). It has no weights, and ignores a condition.

    Args:
        **kwargs: `name`, `dtype` of `keras.layers.Layer`.

    Shapes and errors: see `Prior`.

    Source: Kingma and Welling 2014, appendix B.

    >>> prior = StandardNormal()
    >>> prior.build((4,))
    >>> prior.log_prob(prior.sample(3, seed=0)).shape
    TensorShape([3])
    """

    def log_prob(self, z: tf.Tensor, condition: TensorLike | None = None) -> tf.Tensor:
        del condition
        axes = range(-len(self.latent_shape), 0)
        if not (isinstance(z, tf.Tensor) and z.dtype == self.density_dtype and z.shape[axes[0] :] == self.latent_shape):
            z = self.as_latents(z)
        return -0.5 * (tf.reduce_sum(tf.square(z), axis=axes) + math.prod(self.latent_shape) * math.log(2.0 * math.pi))

    def log_prob_by_entry(self, z: tf.Tensor, condition: TensorLike | None = None) -> tf.Tensor:
        del condition
        return -0.5 * (tf.square(self.as_latents(z)) + math.log(2.0 * math.pi))

    def sample(self, n: int, seed: Seed, temperature: float = 1.0, condition: TensorLike | None = None) -> tf.Tensor:
        del condition
        n, seed, temperature = self.check_sample_arguments(n, seed, temperature)
        return temperature * standard_normal([n, *self.latent_shape], seed, self.density_dtype)
