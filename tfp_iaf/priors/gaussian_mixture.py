"""The Gaussian mixture prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_iaf import scales
from tfp_iaf._arguments import integer, layer_seed
from tfp_iaf._types import Seed, TensorLike
from tfp_iaf.noise import gaussian_log_prob, standard_normal, uniform
from tfp_iaf.priors.base import Prior

__all__ = ["GaussianMixture"]


@keras.saving.register_keras_serializable("tfp_iaf")
class GaussianMixture(Prior):
    """p(z) = sum_k w_k N(z; loc_k, diag(scale_k^2)), with learned weights, locations and scales.

    ```none
    w = softmax(logits);   scale_k = softplus_scale(u_k)
    sample at temperature t: k ~ w;   z = loc_k + t scale_k eps, eps ~ N(0, I)
    ```

    At the start the weights are equal, the scales 1, and the locations drawn from N(0, 1/4): close to a standard normal. It
    ignores a condition. A density holds K times as many numbers in memory as z.

    Args:
        num_components: K.
        seed: integer seed of the initial locations; None draws one.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Shapes and errors: see `Prior`.

    Source: Dilokthanakul et al. 2016; Tomczak and Welling 2018, section 2 ("mixture of Gaussians prior").

    >>> prior = GaussianMixture(num_components=3, seed=0)
    >>> prior.build((4,))
    >>> z = prior.sample(5, seed=1)
    >>> prior.log_prob(z).shape, len(prior.trainable_weights)
    (TensorShape([5]), 3)
    """

    def __init__(self, num_components: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_components = integer("num_components", num_components)
        self.seed = layer_seed(seed)

    def build(self, latent_shape: Sequence[int]) -> None:
        super().build(latent_shape)
        shape = (self.num_components, *self.latent_shape)
        near_zero = keras.initializers.RandomNormal(stddev=0.5, seed=self.seed)
        # Densities keep their precision in models of half precision.
        self.logits = self.add_weight(name="logits", shape=shape[:1], initializer="zeros", autocast=False)
        self.locs = self.add_weight(name="locs", shape=shape, initializer=near_zero, autocast=False)
        self.unconstrained_scales = self.add_weight(
            name="unconstrained_scales", shape=shape, initializer="zeros", autocast=False
        )

    def components(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """(log w `[K]`, loc `[K, *latent_shape]`, scale `[K, *latent_shape]`)."""
        logits, locs, unconstrained = (
            tf.cast(tf.convert_to_tensor(weight), self.density_dtype)
            for weight in (self.logits, self.locs, self.unconstrained_scales)
        )
        return tf.nn.log_softmax(logits), locs, scales.softplus_scale(unconstrained)

    def log_prob(self, z: tf.Tensor, condition: TensorLike | None = None) -> tf.Tensor:
        del condition
        log_weights, locs, scale = self.components()
        axes = -len(self.latent_shape)
        standardized = (tf.expand_dims(self.as_latents(z), axes - 1) - locs) / scale
        log_probs = tf.reduce_sum(gaussian_log_prob(standardized, scale), axis=range(axes, 0))
        return tf.reduce_logsumexp(log_weights + log_probs, axis=-1)

    def sample(self, n: int, seed: Seed, temperature: float = 1.0, condition: TensorLike | None = None) -> tf.Tensor:
        del condition
        n, seed, temperature = self.check_sample_arguments(n, seed, temperature)
        log_weights, locs, scale = self.components()
        for_component, for_noise = (tf.random.experimental.stateless_fold_in(seed, k, alg="philox") for k in (0, 1))
        # The inverse of the weights' distribution function at uniform numbers.
        u = uniform([n], for_component, self.density_dtype)
        component = tf.searchsorted(tf.cumsum(tf.exp(log_weights))[:-1], u, side="right")
        noise = standard_normal([n, *self.latent_shape], for_noise, self.density_dtype)
        return tf.gather(locs, component) + temperature * tf.gather(scale, component) * noise

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_components": self.num_components, "seed": self.seed}
