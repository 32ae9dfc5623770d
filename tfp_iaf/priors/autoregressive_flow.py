"""The autoregressive flow prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import masks
from tfp_iaf._arguments import integer, widths
from tfp_iaf._keras_arguments import identified
from tfp_iaf._types import Identifier, Seed, TensorLike
from tfp_iaf.bijectors import InverseAutoregressiveFlow, inverses, maps
from tfp_iaf.networks import AutoregressiveNetwork
from tfp_iaf.noise import standard_normal
from tfp_iaf.priors.base import Prior

__all__ = ["AutoregressiveFlow"]


@keras.saving.register_keras_serializable("tfp_iaf")
class AutoregressiveFlow(Prior):
    """p(z) of a chain of K masked autoregressive flows on a standard normal.

    ```none
    density:  eps = flow_K(... flow_1(z));  log p(z) = log N(eps; 0, I) + sum_k log|det flow_k|     K network evaluations
    sample:   z with flow_K(... flow_1(z)) = t eps,  eps ~ N(0, I), at temperature t                by inversion
    ```

    flow_k is a `bijectors.InverseAutoregressiveFlow` with a network of its own; the orders alternate. The density of a given z,
    which training needs, is the parallel direction; a sample inverts the flows, which costs two to three densities. At the
    start p(z) is close to a standard normal.

    With an IAF posterior without context, moving the flow from the posterior into such a prior gives the same bound (section
    4.4 of the paper). A posterior whose flows have a context can do more, and both may be used together.

    Args:
        num_flows: K.
        hidden_units: widths of each network's hidden layers.
        condition_size: the number of entries of a condition that the flows read, in conditional models; None to ignore it.
        bijector_fn: the map of z towards eps: what `bijectors.maps.get` takes.
        inverse: how samples are found: what `bijectors.InverseAutoregressiveFlow` takes.
        activation: of the networks.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Shapes: as in `Prior`; latents with places are taken as one vector.

    Raises:
        ValueError: as in `Prior`; for a condition that is missing, or of another size than `condition_size`.

    Source: Papamakarios et al. 2017, equations 3 and 4; Chen et al. 2017 ("Variational lossy autoencoder"), section 3.2; Kingma
    et al. 2016, first version, section 4.4.

    >>> prior = AutoregressiveFlow(num_flows=2, hidden_units=(16,))
    >>> prior.build((4,))
    >>> z = prior.sample(5, seed=0)
    >>> prior.log_prob(z).shape, len(prior.networks)
    (TensorShape([5]), 2)
    """

    def __init__(
        self,
        num_flows: int = 2,
        hidden_units: Sequence[int] = (320, 320),
        condition_size: int | None = None,
        bijector_fn: maps.MapLike = "affine",
        inverse: str | inverses.Inverse = "auto",
        activation: Identifier = "elu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_flows = integer("num_flows", num_flows)
        self.hidden_units = widths("hidden_units", hidden_units)
        self.condition_size = None if condition_size is None else integer("condition_size", condition_size)
        self.map = maps.get(bijector_fn)
        self.inverse = inverses.known(inverse)
        self.activation = identified("activation", activation)

    def connect(self, model: keras.Model) -> None:
        # Before the first call, whose errors Keras buries under a report.
        if self.condition_size is None:
            return
        shape = model.condition_shape
        if shape is None or math.prod(shape) != self.condition_size:
            got = "none" if shape is None else f"one of shape {shape}"
            remedy = "None, or fit the model on (x, condition)" if shape is None else math.prod(shape)
            raise ValueError(
                f"{self.name} reads a condition of {self.condition_size} numbers for each z, and the model takes {got}: give "
                f"the prior condition_size={remedy}."
            )

    def build(self, latent_shape: Sequence[int]) -> None:
        super().build(latent_shape)
        size = math.prod(self.latent_shape)
        self.networks = [
            AutoregressiveNetwork(
                params=self.map.params,
                event_shape=size,
                hidden_units=self.hidden_units,
                context_size=self.condition_size,
                input_order=order,
                activation=self.activation,
                dtype=self.dtype_policy,
                name=f"flow_{k + 1}",
            )
            for k, order in enumerate(masks.alternating_orders(size, "left-to-right", self.num_flows))
        ]
        self._flows(None if self.condition_size is None else tf.zeros([1, self.condition_size]))

    def _flows(self, condition):
        """The flows from z to eps, in this order."""
        if self.condition_size is None:
            context = None
        elif condition is None or math.prod(np.shape(condition)[1:]) != self.condition_size:
            got = "none" if condition is None else f"one of shape {tuple(np.shape(condition))}"
            raise ValueError(f"{self.name} reads a condition of {self.condition_size} numbers for each z, got {got}.")
        else:
            context = tf.reshape(tf.cast(condition, self.density_dtype), [-1, self.condition_size])
        return [
            InverseAutoregressiveFlow(network, context=context, bijector_fn=self.map, inverse=self.inverse)
            for network in self.networks
        ]

    def log_prob(self, z: tf.Tensor, condition: TensorLike | None = None) -> tf.Tensor:
        z = self.as_latents(z)
        batch_shape = tf.shape(z)[: len(z.shape) - len(self.latent_shape)]
        eps = tf.reshape(z, tf.concat([batch_shape, [math.prod(self.latent_shape)]], axis=0))
        log_prob = 0.0
        for flow in self._flows(condition):
            eps, log_det = flow.forward_and_log_det(eps)
            log_prob += log_det
        return log_prob - 0.5 * (tf.reduce_sum(tf.square(eps), axis=-1) + eps.shape[-1] * math.log(2.0 * math.pi))

    def sample(self, n: int, seed: Seed, temperature: float = 1.0, condition: TensorLike | None = None) -> tf.Tensor:
        n, seed, temperature = self.check_sample_arguments(n, seed, temperature)
        rows = None if condition is None else np.shape(condition)[0]
        if isinstance(n, int) and rows not in (None, 1, n):
            raise ValueError(f"{self.name} takes a condition for each of {n} samples, or one for all, got {rows}.")
        z = temperature * standard_normal([n, math.prod(self.latent_shape)], seed, self.density_dtype)
        for flow in reversed(self._flows(condition)):
            z, _ = flow.inverse_and_log_det(z)
        return tf.reshape(z, [n, *self.latent_shape])

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AutoregressiveFlow:
        # The map is made here, since Keras buries an error that the constructor raises.
        return super().from_config({**config, "bijector_fn": maps.get(config.get("bijector_fn", "affine"))})

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_flows": self.num_flows,
            "hidden_units": list(self.hidden_units),
            "condition_size": self.condition_size,
            "bijector_fn": maps.serialize(self.map),
            "inverse": inverses.serialize(self.inverse),
            "activation": keras.activations.serialize(self.activation),
        }
