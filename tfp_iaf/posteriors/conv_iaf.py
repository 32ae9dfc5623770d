"""The inverse autoregressive flow posterior over time series and feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfp_iaf._arguments import integers, widths
from tfp_iaf._types import Identifier, InputOrder
from tfp_iaf.bijectors import inverses, maps
from tfp_iaf.networks import ConvAutoregressiveNetwork
from tfp_iaf.posteriors._autoregressive_chain import AutoregressiveChain

__all__ = ["ConvIAF"]


@keras.saving.register_keras_serializable("tfp_iaf")
class ConvIAF(AutoregressiveChain):
    """q(z|x) over an H x W x C or T x C latent: a chain of K masked-convolutional flows on a diagonal Gaussian sample.

    ```none
    y ~ N(loc(x), diag(scale(x)^2));   c = context(x)
    z_k = flow_k(z_{k-1}; c), in raster order for odd k and from the last entry to the first for even k;   z = z_K
    log q(z|x) = log q(y|x) - sum_k log|det flow_k|
    ```

    loc, scale and the context's maps are convolutions of the features, with kernels of 3 (x 3). A sample and its density cost
    one network evaluation per flow.

    Args:
        latent_shape: (H, W, C), or (T, C) for a time series.
        num_flows: K; each flow has a network of its own.
        filters: numbers of feature maps of each network's hidden layers; () for a linear network.
        kernel_size: of the networks' convolutions.
        context_channels: number of the context's feature maps; None for as many as a hidden layer has, 0 for no context.
        bijector_fn, inverse: as in `IAF`.
        input_order: of the first flow, "left-to-right" for raster order or "right-to-left"; the next flow has the reverse.
        activation, residual, weight_norm, use_bias, kernel_initializer, bias_initializer, kernel_regularizer: of the networks,
            see `networks.ConvAutoregressiveNetwork`. Weight-normalized ones are started by
            `layers.initialize_weight_normalization(model, x)`.
        seed: integer seed of the noise.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments: features `[B, H, W, F]` or `[B, T, F]`; the others, shapes and errors: see `Posterior`.

    Source: Kingma et al. 2016, sections 4.2 and 5.2.

    >>> posterior = ConvIAF(latent_shape=(4, 4, 2), num_flows=1, filters=(8,))
    >>> z, log_q = posterior(keras.ops.ones([5, 4, 4, 6]))
    >>> z.shape, log_q.shape
    (TensorShape([5, 4, 4, 2]), TensorShape([5]))
    """

    context_argument = "context_channels"

    def __init__(
        self,
        latent_shape: Sequence[int],
        num_flows: int = 2,
        filters: Sequence[int] = (64, 64),
        kernel_size: int | Sequence[int] = 3,
        context_channels: int | None = None,
        bijector_fn: maps.MapLike = "affine",
        inverse: str | inverses.Inverse = "auto",
        input_order: InputOrder | Sequence[InputOrder] = "left-to-right",
        activation: Identifier = "elu",
        residual: bool = False,
        weight_norm: bool = False,
        use_bias: bool = True,
        kernel_initializer: Identifier = "glorot_uniform",
        bias_initializer: Identifier = "zeros",
        kernel_regularizer: Identifier = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        latent_shape = integers("latent_shape", latent_shape, "sizes, (H, W, C) or (T, C)")
        if len(latent_shape) not in (2, 3):
            raise ValueError(f"latent_shape must be (H, W, C) or (T, C), got {latent_shape}.")
        filters = widths("filters", filters)
        if context_channels is None:
            context_channels = [*filters, latent_shape[-1]][0]
        super().__init__(
            network_type=ConvAutoregressiveNetwork,
            network_arguments={
                "filters": filters,
                "kernel_size": kernel_size,
                "activation": activation,
                "residual": residual,
                "weight_norm": weight_norm,
                "use_bias": use_bias,
                "kernel_initializer": kernel_initializer,
                "bias_initializer": bias_initializer,
                "kernel_regularizer": kernel_regularizer,
            },
            num_flows=num_flows,
            context_size=context_channels,
            bijector_fn=bijector_fn,
            inverse=inverse,
            input_order=input_order,
            latent_shape=latent_shape,
            seed=seed,
            **kwargs,
        )

    @property
    def context_channels(self) -> int | None:
        return self.context_size
