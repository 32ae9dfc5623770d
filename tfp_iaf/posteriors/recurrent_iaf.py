"""The inverse autoregressive flow posterior with recurrent networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfp_iaf._types import InputOrder
from tfp_iaf.bijectors import inverses, maps
from tfp_iaf.networks import RecurrentAutoregressiveNetwork
from tfp_iaf.posteriors._autoregressive_chain import AutoregressiveChain

__all__ = ["RecurrentIAF"]


@keras.saving.register_keras_serializable("tfp_iaf")
class RecurrentIAF(AutoregressiveChain):
    """q(z|x) of a chain of K inverse autoregressive flows, each with a recurrent network: formulas in `IAF`.

    A flow runs its cell over the D entries of the latent: the number of weights does not depend on D, and the density of a
    given z costs what a sample does. In return, a sample takes D steps of the cell per flow, one after another, where `IAF`
    takes one product per layer and flow. An untrained chain is near the identity.

    Args:
        latent_size: D.
        num_flows: K; each flow has a network of its own.
        units: size of each network's cell, or a sequence of sizes for a stack of cells.
        cell: "lstm" or "gru".
        context_size: C, read off the features by a dense layer; None for D, 0 for no context.
        bijector_fn, inverse, input_order: as in `IAF`.
        seed: integer seed of the noise, and of random orders.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments, shapes and errors: see `Posterior`.

    Source: Kingma et al. 2016, first version, section 4.3.

    >>> posterior = RecurrentIAF(latent_size=4, units=16)
    >>> z, log_q = posterior(keras.ops.ones([5, 8]), num_samples=3)
    >>> z.shape, log_q.shape
    (TensorShape([3, 5, 4]), TensorShape([3, 5]))
    """

    def __init__(
        self,
        latent_size: int,
        num_flows: int = 2,
        units: int | Sequence[int] = 128,
        cell: str = "lstm",
        context_size: int | None = None,
        bijector_fn: maps.MapLike = "affine",
        inverse: str | inverses.Inverse = "auto",
        input_order: InputOrder | Sequence[InputOrder] = "left-to-right",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            network_type=RecurrentAutoregressiveNetwork,
            network_arguments={"units": units, "cell": cell},
            num_flows=num_flows,
            context_size=latent_size if context_size is None else context_size,
            bijector_fn=bijector_fn,
            inverse=inverse,
            input_order=input_order,
            latent_size=latent_size,
            seed=seed,
            **kwargs,
        )
