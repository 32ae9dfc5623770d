"""The inverse autoregressive flow posterior over feature maps."""

import keras
import numpy as np

from tfp_iaf._arguments import integer
from tfp_iaf._arguments import widths
from tfp_iaf.posteriors._conv_steps import conv_networks, conv_steps
from tfp_iaf.posteriors.base import Posterior

__all__ = ["ConvIAF"]


@keras.saving.register_keras_serializable("tfp_iaf")
class ConvIAF(Posterior):
    """q(z|x) over an H x W x C latent: a chain of K masked-convolutional autoregressive steps on a diagonal Gaussian sample.

    ```none
    y ~ N(loc(x), diag(scale(x)^2));   c = context(x)
    z_k = step_k(z_{k-1}; c), in raster order for odd k and from the last entry to the first for even k;   z = z_K
    log q(z|x) = log q(y|x) - sum_k log|det step_k|
    ```

    loc, scale and the context's maps are 3 x 3 convolutions of the features. A sample and its density cost one network
    evaluation a step.

    Args:
        latent_shape: (H, W, C).
        num_steps: K, the number of steps; each has a network of its own.
        filters: numbers of feature maps of each network's hidden layers; () for a linear network.
        kernel_size: of the networks' convolutions.
        context_channels: number of the context's feature maps; None for as many as a hidden layer has, 0 for no context.
        bijector_fn: "affine" (equation 10), "gated", "location", "spline" (8 bins).
        activation, residual: of the networks.
        seed: integer seed of the noise.
        weight_norm: of the networks; start them by `layers.initialize_weight_normalization(model, x)`.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments: features `[B, H, W, F]`, `num_samples`, `seed`, as in `Posterior`.
    Returns: z `[B, H, W, C]` and log_q `[B]`, or `[S, B, H, W, C]` and `[S, B]`.

    Raises:
        ValueError: if the features are not `[B, H, W, F]`, or an argument does not fit.

    Source: Kingma et al. 2016, sections 4.2 and 5.2.

    >>> posterior = ConvIAF(latent_shape=(4, 4, 2), num_steps=1, filters=(8,))
    >>> z, log_q = posterior(keras.ops.ones([5, 4, 4, 6]))
    >>> z.shape, log_q.shape
    (TensorShape([5, 4, 4, 2]), TensorShape([5]))
    """

    def __init__(
        self,
        latent_shape,
        num_steps=2,
        filters=(64, 64),
        kernel_size=3,
        context_channels=None,
        bijector_fn="affine",
        activation="elu",
        residual=False,
        seed=None,
        weight_norm=False,
        **kwargs,
    ):
        super().__init__(latent_shape, seed=seed, **kwargs)
        self.num_steps = integer("num_steps", num_steps)
        filters = widths("filters", filters)
        if context_channels is None:
            context_channels = filters[0] if filters else self.event_shape[-1]
        self.context_channels = integer("context_channels", context_channels, at_least=0)
        self.bijector_fn = bijector_fn
        self.networks = conv_networks(
            self.num_steps,
            self.event_shape,
            bijector_fn,
            filters=filters,
            kernel_size=kernel_size,
            context_channels=self.context_channels or None,
            activation=activation,
            residual=residual,
            weight_norm=weight_norm,
            dtype=self.dtype_policy,
        )

    def event_shape_of(self, latent_shape):
        if not np.iterable(latent_shape) or len(latent_shape) != 3:
            raise ValueError(f"latent_shape must be (H, W, C), got {latent_shape!r}.")
        return tuple(integer("A size in latent_shape", size) for size in latent_shape)

    def reader(self, size, **kwargs):
        return keras.layers.Conv2D(size, 3, padding="same", dtype=self.dtype_policy, **kwargs)

    def check_features_shape(self, shape):
        height, width, _ = self.event_shape
        if len(shape) != 4 or shape[1:3] != (height, width):
            raise ValueError(f"{self.name} expects features of shape [batch, {height}, {width}, maps], got {shape}.")

    @property
    def flow_size(self):
        return self.context_channels

    def steps(self, flow_inputs):
        return conv_steps(self.networks, flow_inputs, self.bijector_fn)

    def build(self, features_shape):
        super().build(features_shape)
        for network in self.networks:
            network.build((None, *self.event_shape))

    def get_config(self):
        config = super().get_config()
        del config["latent_size"]
        network = self.networks[0]
        return {
            **config,
            "latent_shape": list(self.event_shape),
            "num_steps": self.num_steps,
            "filters": list(network.filters),
            "kernel_size": list(network.kernel_size),
            "context_channels": self.context_channels,
            "bijector_fn": self.bijector_fn,
            "activation": keras.activations.serialize(network.activation),
            "residual": network.residual,
            "weight_norm": network.weight_norm,
        }
