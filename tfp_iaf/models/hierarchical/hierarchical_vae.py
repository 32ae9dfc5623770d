"""The ResNet VAE with stacked three-dimensional latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import _compat, likelihoods
from tfp_iaf._arguments import choice, flag, given, integer, integers, widths
from tfp_iaf._tensors import count
from tfp_iaf._types import Data, Seed, Shape, TensorLike
from tfp_iaf.bijectors import maps
from tfp_iaf.likelihoods import Likelihood
from tfp_iaf.models._free_bits import FreeBits
from tfp_iaf.models.elbo_model import ElboModel
from tfp_iaf.models.hierarchical import _posterior_factories as posterior_factories
from tfp_iaf.models.hierarchical._image_likelihood import has_log_scale
from tfp_iaf.models.hierarchical._ladder import Ladder
from tfp_iaf.models.hierarchical._ladder_prior import LadderPrior, check_latents, noise_of_latents
from tfp_iaf.noise import SeededLayer

__all__ = ["HierarchicalVAE"]

INFERENCES = ("bidirectional", "bottom-up")


@keras.saving.register_keras_serializable("tfp_iaf")
class HierarchicalVAE(_compat.OpenAfterBuild, ElboModel):
    """A VAE of images with L layers of H x W x C latents, each with a learned prior conditioned on those above.

    ```none
    p(x, z) = p(x|z_1 ... z_L) prod_l p(z_l | z_{l+1} ... z_L)
    q(z|x)  = prod_l q(z_l | x, z_{l+1} ... z_L)      "bidirectional": one deterministic way up, sampled on the way down
              prod_l q(z_l | x, z_1 ... z_{l-1})      "bottom-up": sampled on the way up
    elbo(x) = log p(x|z) - sum_l (log q(z_l | ...) - log p(z_l | ...))       (nats per image)
    loss    = -mean over the batch of reconstruction + kl_weight * (KL with free bits)
    ```

    Layer 1 is nearest to the image. `fit`, `evaluate`, metrics and files are those of `VAE`; images `[B, H, W, C]` are
    integers 0 to 255 ("discretized_logistic") or 0 and 1 ("bernoulli").

    With `weight_norm`, call `layers.initialize_weight_normalization(model, x)` on some hundred images before training.

    Args:
        image_shape: (H, W, C).
        num_layers: numbers of stochastic layers, one for each resolution, the finest first: (4,) or (2, 2).
        filters: feature maps of the deterministic ways up and down.
        latent_channels: C of each latent.
        patch_size: by how much the first convolution divides height and width; each further resolution divides by 2.
        inference: "bidirectional" or "bottom-up".
        posterior: "diagonal"; "linear" (y plus a masked convolution of y: Gaussian, correlated); "iaf"; or a factory: a
            function latent_shape (H, W, C) -> a new `posteriors.Posterior` over such latents, such as `ConvIAF` itself.
            Register it with Keras to save the model.
        num_flows: flows of "iaf" in each layer; None for 1.
        flow_filters: maps of the hidden layers of their networks; None for one layer of `filters`.
        bijector_fn: their elementwise map, what `bijectors.maps.get` takes; None for "affine".
        free_bits: lambda, nats per feature map of a layer (per layer, where a posterior's flows do not split by entry);
            0 for none.
        soft_free_bits: whether lambda acts through weights that follow it (`objectives.soft_free_bits_weights`).
        likelihood: "discretized_logistic", "bernoulli", or what else `likelihoods.get` takes, if its parameters have the
            image's shape, or twice the image's channels: then the second half is one learned number per channel.
        weight_norm: whether the convolutions are weight-normalized, the masked ones of "linear" and "iaf" too.
        recompute: whether the activations inside a layer are computed again for the gradient instead of kept. On a CPU in
            graph mode, that saves a quarter of the memory that grows with the batch. TensorFlow keeps every model that was
            traced in this way until the process ends.
        num_samples: posterior samples per image in training.
        seed: integer seed of the noise.
        condition_size: the number of entries of an image's condition, such as a class in one-hot form; None for a model that
            takes no condition. With one, `fit((images, condition))` trains p(x | condition). Prior, posteriors and decoder
            read it: a linear layer adds its outputs to every pixel, at the start of the way up and of the way down.
        **kwargs: `name`, `dtype` of `keras.Model`.

    Raises:
        ValueError: for unknown names, images whose sizes the resolutions do not divide, a factory whose posteriors do not
            fit, arguments of "iaf" beside another posterior.

    Source: Kingma et al. 2016, section 5.2 (first version); section 6.2 and appendices C.2, C.8 (final version).

    >>> model = HierarchicalVAE((8, 8, 3), num_layers=(1, 1), filters=8, latent_channels=2)
    >>> model.compile(keras.optimizers.Adamax(2e-3))
    >>> images = np.random.default_rng(0).integers(0, 256, size=[32, 8, 8, 3], dtype="uint8")
    >>> history = model.fit(images, batch_size=16, verbose=0)
    >>> model.sample(5, seed=0).shape
    TensorShape([5, 8, 8, 3])
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_layers: Sequence[int] = (4,),
        filters: int = 64,
        latent_channels: int = 32,
        patch_size: int = 2,
        inference: str = "bidirectional",
        posterior: str | Callable = "iaf",
        num_flows: int | None = None,
        flow_filters: Sequence[int] | None = None,
        bijector_fn: maps.MapLike | None = None,
        free_bits: float = 0.0,
        soft_free_bits: bool = False,
        likelihood: str | Likelihood | Callable = "discretized_logistic",
        weight_norm: bool = True,
        recompute: bool = False,
        num_samples: int = 1,
        seed: int | None = None,
        condition_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        choice("inference", inference, INFERENCES)
        super().__init__(likelihoods.get(likelihood), num_samples, **kwargs)
        self._free_bits = FreeBits(free_bits, soft_free_bits)
        self.free_bits = self._free_bits.minimum
        self.soft_free_bits = soft_free_bits
        self.image_shape = _image_shape(image_shape)
        self.num_layers = integers("num_layers", num_layers, "positive integers, such as (2, 2)")
        if not self.num_layers:
            raise ValueError("num_layers must hold a number for each resolution, such as (2, 2), got none.")
        self.filters = integer("filters", filters)
        self.latent_channels = integer("latent_channels", latent_channels)
        self.patch_size = integer("patch_size", patch_size)
        self.condition_size = None if condition_size is None else integer("condition_size", condition_size)
        divisor = self.patch_size * 2 ** (len(self.num_layers) - 1)
        if any(size % divisor for size in self.image_shape[:2]):
            raise ValueError(
                f"num_layers={self.num_layers} with patch_size={self.patch_size} needs an image height and width "
                f"divisible by {divisor}, got {self.image_shape[:2]}."
            )
        self.inference = inference
        self.posterior = posterior_factories.get(posterior)
        self.num_flows = num_flows
        self.flow_filters = None if flow_filters is None else widths("flow_filters", flow_filters)
        self.bijector_fn = bijector_fn
        self.weight_norm = flag("weight_norm", weight_norm)
        self.recompute = flag("recompute", recompute)
        self.noise = SeededLayer(seed, name="noise")
        factory = posterior_factories.factory(
            self.posterior,
            num_flows=num_flows,
            flow_filters=self.flow_filters,
            bijector_fn=bijector_fn,
            filters=self.filters,
            weight_norm=weight_norm,
            dtype=self.dtype_policy,
        )
        centre, scale = self.likelihood.standardization
        self.ladder = Ladder(
            make_posterior=posterior_factories.checked(factory, self.density_dtype),
            bidirectional=inference == "bidirectional",
            centre=centre,
            scale=scale,
            has_log_scale=has_log_scale(self.likelihood, self.image_shape, self.density_dtype),
            image_shape=self.image_shape,
            num_layers=self.num_layers,
            filters=self.filters,
            latent_channels=self.latent_channels,
            patch_size=self.patch_size,
            condition_size=self.condition_size,
            weight_norm=weight_norm,
            recompute=recompute,
            dtype=self.dtype_policy,
            name="ladder",
        )
        # All sizes are known.
        self.data_shape = self.image_shape
        self.condition_shape = None if condition_size is None else (self.condition_size,)
        images = None, *self.image_shape
        self.know_layers()
        self.build(images if condition_size is None else (images, (None, self.condition_size)))

    @property
    def latent_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of z_1 ... z_L."""
        return [layer.event_shape for layer in self.ladder.stochastic_layers]

    @property
    def prior(self) -> LadderPrior:
        """p(z_1 ... z_L), with `log_prob(z, condition)` and `sample(n, seed, temperature, condition)`."""
        return LadderPrior(self.ladder, self.condition_rows)

    def latent_specs(self) -> list[tf.TensorSpec]:
        return [
            tf.TensorSpec((None, *shape), self.density_dtype, name=f"z_{index + 1}")
            for index, shape in enumerate(self.latent_shapes)
        ]

    def build(self, input_shape: Shape | Sequence[Shape]) -> None:
        self.set_shapes(input_shape)
        if not self.ladder.built:
            self.ladder.build()
            num_groups = sum(layer.num_groups for layer in self.ladder.stochastic_layers)
            self.free_bits_weights = self._free_bits.make_weights(self, num_groups)

    def noise_specs(self) -> list[tf.TensorSpec]:
        return [tf.TensorSpec(spec.shape, spec.dtype, name=spec.name.replace("z_", "noise_")) for spec in self.latent_specs()]

    def elbo_terms(
        self,
        x: Data,
        num_samples: int = 1,
        seed: Seed | None = None,
        training: bool | None = None,
        noise: list[TensorLike] | None = None,
    ) -> dict[str, tf.Tensor]:
        """The terms of the bound at S samples of q(z|x).

        Args:
            x: `[B, H, W, C]`, or (x, condition).
            num_samples: S.
            seed: an int or a pair of ints; None takes the next seed of the model's own.
            training: whether to keep less for the gradient, where the model is to `recompute`.
            noise: a list of the standard normal noise of z_1 ... z_L, `[B, ...]` each, for one sample; in place of a seed.

        Returns:
            A dict of `z`, a list of z_1 ... z_L, `[S, B, ...]` each; `reconstruction` and `kl` `[S, B]`; and
            `kl_per_map` `[S, B, J]`, kl by layer and feature map.
        """
        (x, condition), num_samples = self.split(self.as_input(x)), count("num_samples", num_samples)
        noise = self._noise(num_samples, x, seed, noise)
        z, log_q, log_p, parameters = self._up_and_down(x, condition, num_samples, self._drawn(noise), bool(training))
        kl_per_map = tf.concat([q - p for q, p in zip(log_q, log_p)], axis=-1)

        def by_sample(value):
            return tf.reshape(value, tf.concat([[num_samples, tf.shape(x)[0]], tf.shape(value)[1:]], axis=0))

        return {
            "z": [by_sample(latent) for latent in z],
            "kl": by_sample(tf.reduce_sum(kl_per_map, axis=-1)),
            "kl_per_map": by_sample(kl_per_map),
            "reconstruction": self.log_likelihood_of(x, parameters, num_samples),
        }

    def encode(self, x: Data) -> tf.Tensor:
        """The first feature maps of x, or of (x, condition), `[B, height, width, filters]`: all that the way up reads."""
        x, condition = self.split(self.as_input(x))
        return self.ladder.features(x, self.ladder.condition_maps(condition)[0])

    def encode_mean(self, x: Data) -> list[tf.Tensor]:
        """z_1 ... z_L, each at the mean of its posterior's base, `[B, ...]`: the same at every call."""
        x, condition = self.split(self.as_input(x))
        zeros = [tf.zeros([tf.shape(x)[0], *shape], self.density_dtype) for shape in self.latent_shapes]
        return self._up_and_down(x, condition, 1, self._drawn(zeros))[0]

    def posterior_sample(
        self, x: Data, seed: Seed | None = None, noise: list[TensorLike] | None = None
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """(z_1 ... z_L, log q(z|x)) of one sample for each image: a list, and `[B]`."""
        x, condition = self.split(self.as_input(x))
        z, log_q, _, _ = self._up_and_down(x, condition, 1, self._drawn(self._noise(1, x, seed, noise)))
        return z, sum(tf.reduce_sum(of_layer, axis=-1) for of_layer in log_q)

    def posterior_log_prob(self, x: Data, z: Any) -> tf.Tensor:
        """log q(z|x) of given latents, `[B]`, through the inverse of every flow.

        Args:
            x: `[B, H, W, C]`, or (x, condition).
            z: a list of z_1 ... z_L, each `[B, ...]`.
        """

        def score(index, statistics):
            latent = tf.cast(z[index], self.density_dtype)
            return latent, self.ladder.stochastic_layers[index].log_prob_at(statistics, latent)

        x, condition = self.split(self.as_input(x))
        check_latents(self.ladder, z, x.shape[0])
        _, log_q, _, _ = self._up_and_down(x, condition, 1, score)
        return sum(tf.reduce_sum(of_layer, axis=-1) for of_layer in log_q)

    def decode(self, z: Any, condition: TensorLike | None = None, training: bool = False) -> tf.Tensor:
        """The likelihood's parameters at z_1 ... z_L, in `density_dtype`; `condition` as of `sample`."""
        del training
        check_latents(self.ladder, z)
        condition = self.condition_rows(condition, np.shape(z[0])[0] or tf.shape(z[0])[0])
        condition_map = self.ladder.condition_maps(condition)[1]
        return self.ladder.down(tf.shape(z[0])[0], condition_map, lambda index, prior: tf.cast(z[index], self.density_dtype))

    def prior_sample(
        self, num_samples: int, seed: Seed, temperature: float = 1.0, condition: TensorLike | None = None
    ) -> list[tf.Tensor]:
        """z_1 ... z_L, `[num_samples, ...]` each, drawn from the prior; arguments as of `sample`."""
        return self._prior_sample_and_decode(num_samples, seed, temperature, condition)[0]

    def sample(
        self, num_samples: int, seed: Seed | None = None, temperature: float = 1.0, condition: TensorLike | None = None
    ) -> tf.Tensor:
        # One way down draws the latents and decodes them.
        return self.likelihood.mean(self._prior_sample_and_decode(num_samples, seed, temperature, condition)[1])

    def _prior_sample_and_decode(self, num_samples, seed, temperature, condition):
        return self.prior.sample_and_decode(*self.checked_draw(num_samples, seed, temperature), condition)

    def _up_and_down(self, x, condition, num_samples, latent, training=False):
        upwards, downwards = self.ladder.condition_maps(condition)
        return self.ladder.up_and_down(self.ladder.features(x, upwards), downwards, num_samples, latent, training)

    def _noise(self, num_samples, x, seed, noise=None):
        if noise is not None:
            self.check_noise(num_samples, seed)
            check_latents(self.ladder, noise, x.shape[0])
            return [tf.cast(each, self.density_dtype) for each in noise]
        return noise_of_latents(self.ladder, num_samples * tf.shape(x)[0], self.noise.next_seed(seed))

    def _drawn(self, noise):
        """The function that `Ladder.up_and_down` takes, which draws each latent with its part of the noise."""
        return lambda index, statistics: self.ladder.stochastic_layers[index].draw(statistics, noise[index])

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> HierarchicalVAE:
        model = super().from_config(config, custom_objects)
        model.grow()  # Keras builds no model that is built, and loads no weights of layers that are not.
        return model

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "image_shape": list(self.image_shape),
            "num_layers": list(self.num_layers),
            "filters": self.filters,
            "latent_channels": self.latent_channels,
            "patch_size": self.patch_size,
            "inference": self.inference,
            "posterior": posterior_factories.serialize(self.posterior),
            "num_flows": self.num_flows,
            "flow_filters": None if self.flow_filters is None else list(self.flow_filters),
            "bijector_fn": None if self.bijector_fn is None else maps.serialize(maps.get(self.bijector_fn)),
            "free_bits": self.free_bits,
            "soft_free_bits": self.soft_free_bits,
            "condition_size": self.condition_size,
            "weight_norm": self.weight_norm,
            "recompute": self.recompute,
            "seed": self.noise.seed,
        }


def _image_shape(image_shape):
    shape = integers("image_shape", image_shape, "sizes, (H, W, C)")
    if len(shape) != 3:
        raise ValueError(f"image_shape must be (H, W, C), got {given(image_shape)}.")
    return shape
