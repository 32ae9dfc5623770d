"""The inverse autoregressive flow posterior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfp_iaf._types import Identifier, InputOrder
from tfp_iaf.bijectors import inverses, maps
from tfp_iaf.networks import AutoregressiveNetwork
from tfp_iaf.posteriors._autoregressive_chain import AutoregressiveChain

__all__ = ["IAF"]


@keras.saving.register_keras_serializable("tfp_iaf")
class IAF(AutoregressiveChain):
    """q(z|x) of a chain of K inverse autoregressive flows on a diagonal Gaussian sample.

    ```none
    y ~ N(loc(x), diag(scale(x)^2));   c = context(x)
    z_1 = flow_1(y; c);   z_k = flow_k(z_{k-1}; c), the order of the entries reversed from one flow to the next;   z = z_K
    log q(z|x) = log q(y|x) - sum_k log|det flow_k|
    ```

    A sample and its density cost one network evaluation per flow; the density of a given z inverts the flows (see
    `bijectors.InverseAutoregressiveFlow`). An untrained chain is near the identity.

    With one latent (`latent_size=1`) the maps "affine", "gated" and "location" give a Gaussian, whatever the number of flows. A
    "gated" flow only contracts. A "spline" is the identity beyond its range, [-5, 5] unless a `maps.Spline` says otherwise.
    "monotone" bends an entry too, and acts on the whole line.

    Args:
        latent_size: D.
        num_flows: K; each flow has a network of its own.
        hidden_units: widths of each network's hidden layers.
        context_size: C, read off the features by a dense layer; None for D, 0 for no context.
        bijector_fn: "affine" (equation 10), "gated", "location", "monotone" (8 sigmoids), "spline" (8 bins), a
            `bijectors.ElementwiseMap`, or a pair (function, P), see `bijectors.maps.get`.
        inverse: how a given z is inverted: what `bijectors.InverseAutoregressiveFlow` takes.
        input_order: of the first flow: "left-to-right", "right-to-left", or a permutation of 1..D; the next flow has the
            reverse, and so on. "random" draws an order per flow; a list gives an order per flow.
        activation, residual, weight_norm, use_bias, kernel_initializer, bias_initializer, kernel_regularizer: of the networks,
            see `networks.AutoregressiveNetwork`. Weight-normalized ones are started by
            `layers.initialize_weight_normalization(model, x)`.
        seed: integer seed of the noise, and of random orders.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments, shapes and errors: see `Posterior`.

    Source: Kingma et al. 2016, first version, section 4.1 and equation 10; final version, algorithm 1.

    >>> posterior = IAF(latent_size=4, num_flows=2, hidden_units=(16, 16))
    >>> z, log_q = posterior(keras.ops.ones([5, 8]), num_samples=3)
    >>> z.shape, log_q.shape
    (TensorShape([3, 5, 4]), TensorShape([3, 5]))
    """

    def __init__(
        self,
        latent_size: int,
        num_flows: int = 2,
        hidden_units: Sequence[int] = (320, 320),
        context_size: int | None = None,
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
        super().__init__(
            network_type=AutoregressiveNetwork,
            network_arguments={
                "hidden_units": hidden_units,
                "activation": activation,
                "residual": residual,
                "weight_norm": weight_norm,
                "use_bias": use_bias,
                "kernel_initializer": kernel_initializer,
                "bias_initializer": bias_initializer,
                "kernel_regularizer": kernel_regularizer,
            },
            num_flows=num_flows,
            context_size=latent_size if context_size is None else context_size,
            bijector_fn=bijector_fn,
            inverse=inverse,
            input_order=input_order,
            latent_size=latent_size,
            seed=seed,
            **kwargs,
        )
