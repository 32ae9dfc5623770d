"""The posterior of additive couplings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_iaf._arguments import integer, widths
from tfp_iaf._keras_arguments import identified
from tfp_iaf._types import Identifier
from tfp_iaf.bijectors import AdditiveCoupling, FlowBijector
from tfp_iaf.layers import TrackedLayer
from tfp_iaf.posteriors.base import Posterior

__all__ = ["NICE"]


@keras.saving.register_keras_serializable("tfp_iaf")
class NICE(Posterior):
    """q(z|x) of a chain of K additive couplings on a diagonal Gaussian sample.

    ```none
    y ~ N(loc(x), diag(scale(x)^2));   c = context(x)
    flow k keeps every second entry, from the first for odd k and from the second for even k, and shifts the others by
    network_k([the kept entries, c])                                                     (see `bijectors.AdditiveCoupling`)
    log q(z|x) = log q(y|x): the couplings preserve volume
    ```

    A sample and its density take one MLP per flow, and the density of a given z the same. An untrained chain is near the
    identity.

    Args:
        latent_size: D, at least 2.
        num_flows: K; each flow has a network of its own.
        hidden_units: widths of each network's hidden layers.
        context_size: C, read off the features by a dense layer; None for D, 0 for no context.
        activation: of the hidden layers, as in `keras.layers.Dense`.
        seed: integer seed of the noise.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments, shapes and errors: see `Posterior`.

    Source: Dinh et al. 2014, "NICE: non-linear independent components estimation", section 3; compared with planar
    flows as a posterior in Rezende and Mohamed 2015.

    >>> posterior = NICE(latent_size=3, hidden_units=(16,))
    >>> z, log_q = posterior(keras.ops.ones([5, 8]))
    >>> z.shape, log_q.shape
    (TensorShape([5, 3]), TensorShape([5]))
    """

    def __init__(
        self,
        latent_size: int,
        num_flows: int = 4,
        hidden_units: Sequence[int] = (320, 320),
        context_size: int | None = None,
        activation: Identifier = "elu",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(latent_size, seed=seed, **kwargs)
        if self.latent_size < 2:
            raise ValueError("NICE needs a latent_size of at least 2, got 1: with one latent use DiagonalGaussian.")
        self.num_flows = integer("num_flows", num_flows)
        self.hidden_units = widths("hidden_units", hidden_units)
        self.context_size = integer("context_size", self.latent_size if context_size is None else context_size, at_least=0)
        self.activation = identified("activation", activation)
        # Which half is kept: the even entries in one flow, the odd ones in the next.
        self._kept = [tuple(entry % 2 == turn for entry in range(self.latent_size)) for turn in (0, 1)]
        self.networks = [
            _ShiftNetwork(
                self.latent_size - sum(self._kept[k % 2]),
                self.hidden_units,
                self.activation,
                dtype=self.dtype_policy,
                name=f"flow_{k + 1}",
            )
            for k in range(self.num_flows)
        ]

    @property
    def flow_size(self) -> int:
        return self.context_size

    def flows(self, flow_inputs: tf.Tensor | None) -> list[FlowBijector]:
        return [AdditiveCoupling(network, self._kept[k % 2], context=flow_inputs) for k, network in enumerate(self.networks)]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_flows": self.num_flows,
            "hidden_units": list(self.hidden_units),
            "context_size": self.context_size,
            "activation": keras.activations.serialize(self.activation),
        }


class _ShiftNetwork(TrackedLayer):
    """An MLP whose outputs are small at first."""

    def __init__(self, output_size, hidden_units, activation, **kwargs):
        super().__init__(**kwargs)
        small = keras.initializers.VarianceScaling(1e-4)
        self.layers = [keras.layers.Dense(units, activation, dtype=self.dtype_policy) for units in hidden_units]
        self.layers.append(keras.layers.Dense(output_size, kernel_initializer=small, dtype=self.dtype_policy))

    def build(self, input_shape):
        for layer in self.layers:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, inputs):
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs
