"""The chain of inverse autoregressive flows: what `IAF`, `ConvIAF` and `RecurrentIAF` share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_iaf import masks
from tfp_iaf._arguments import integer
from tfp_iaf._types import InputOrder
from tfp_iaf.bijectors import FlowBijector, InverseAutoregressiveFlow, inverses, maps
from tfp_iaf.networks import Network
from tfp_iaf.posteriors.base import Posterior

__all__ = ["AutoregressiveChain"]


class AutoregressiveChain(Posterior):
    """q(z|x) of a chain of K inverse autoregressive flows on a diagonal Gaussian sample: formulas in `IAF`.

    Each flow has a network of its own. The networks' orders alternate, so that every entry of z may depend on every other.

    Args:
        network_type: class of the networks.
        network_arguments: a dict of the networks' further arguments.
        num_flows: K.
        context_size: C, read off the features; 0 for no context.
        bijector_fn: what `bijectors.maps.get` takes.
        inverse: what `bijectors.InverseAutoregressiveFlow` takes.
        input_order: "left-to-right" or "right-to-left", a permutation of 1..D, "random", or a list of K of these.
        **kwargs: `latent_size` or `latent_shape`, `seed`, and those of `keras.layers.Layer`.

    Call arguments, shapes and errors: see `Posterior`.
    """

    compiles_eager_calls = True
    # What the networks call the size of their context.
    context_argument = "context_size"

    def __init__(
        self,
        network_type: type[Network],
        network_arguments: dict[str, Any],
        num_flows: int,
        context_size: int,
        bijector_fn: maps.MapLike,
        inverse: str | inverses.Inverse,
        input_order: InputOrder | Sequence[InputOrder],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_flows = integer("num_flows", num_flows)
        self.context_size = integer(self.context_argument, context_size, at_least=0)
        self.map = maps.get(bijector_fn)
        self.inverse = inverse
        self.input_order, orders = self._orders(input_order)
        self._network_arguments = tuple(network_arguments)
        self.networks = [
            network_type(
                params=self.map.params,
                event_shape=self.event_shape,
                input_order=order,
                dtype=self.dtype_policy,
                name=f"flow_{k + 1}",
                **{self.context_argument: self.context_size or None},
                **network_arguments,
            )
            for k, order in enumerate(orders)
        ]
        inverses.get(inverse, self.networks[0])  # An unknown one is refused here.

    def _orders(self, input_order):
        """(the order as the config keeps it, the order of each network)."""
        size, count = int(np.prod(self.event_shape)), self.num_flows

        def drawn(order, k):
            # Drawn here, so that the config holds the orders themselves.
            return masks.fixed_order(size, order, None if self.seed is None else self.seed + k)[1]

        if isinstance(input_order, list | tuple) and any(isinstance(order, str) or np.iterable(order) for order in input_order):
            if len(input_order) != count:
                raise ValueError(
                    f"input_order must be one order, or one for each of the {count} flows, got {len(input_order)}."
                )
            orders = [drawn(order, k) for k, order in enumerate(input_order)]
            return orders, orders
        if isinstance(input_order, str) and input_order == "random":
            orders = [drawn("random", k) for k in range(count)]
            return orders, orders
        orders = masks.alternating_orders(size, input_order, count)
        return orders[0], orders

    @property
    def flow_size(self) -> int:
        return self.context_size

    def flows(self, flow_inputs: tf.Tensor | None) -> list[FlowBijector]:
        return [
            InverseAutoregressiveFlow(network, context=flow_inputs, bijector_fn=self.map, inverse=self.inverse)
            for network in self.networks
        ]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AutoregressiveChain:
        # The map is made here, since Keras buries an error that the constructor raises.
        return super().from_config({**config, "bijector_fn": maps.get(config.get("bijector_fn", "affine"))})

    def get_config(self) -> dict[str, Any]:
        of_network = self.networks[0].get_config()
        return {
            **super().get_config(),
            **{name: of_network[name] for name in self._network_arguments},
            "num_flows": self.num_flows,
            self.context_argument: self.context_size,
            "bijector_fn": maps.serialize(self.map),
            "inverse": inverses.serialize(self.inverse),
            "input_order": self.input_order,
        }
