"""The chain of flows whose parameters all come from the features: what planar, radial and Sylvester posteriors share."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf._arguments import integer
from tfp_iaf.bijectors import FlowBijector
from tfp_iaf.posteriors.base import Posterior

__all__ = ["AmortizedChain"]

# By how much a kernel is smaller at the start for parameters that are 0 where a flow is the identity.
_NEAR_ZERO = 0.01


class AmortizedChain(Posterior):
    """A posterior of K flows of one kind, near the identity at the start; a subclass says what the parameters of one flow are.

    Args:
        latent_size: D.
        num_flows: K.
        **kwargs: `seed`, `name`, `dtype`, `trainable`.
    """

    def __init__(self, latent_size: int, num_flows: int, **kwargs: Any) -> None:
        super().__init__(latent_size, **kwargs)
        self.num_flows = integer("num_flows", num_flows)

    @property
    @abc.abstractmethod
    def sizes(self) -> Sequence[int]:
        """How many numbers each of the parameters of one flow is made of."""

    @property
    @abc.abstractmethod
    def zero_at_identity(self) -> Sequence[bool]:
        """For each of them, whether a flow is the identity where it is 0 (where those are 0, if there are several)."""

    @abc.abstractmethod
    def chain(self, parameters: tf.Tensor) -> list[FlowBijector]:
        """The flows of parameters `[..., num_flows, sum(sizes)]`, in the order in which they act."""

    @property
    def flow_size(self) -> int:
        return self.num_flows * sum(self.sizes)

    def flow_initializer(self, shape: Sequence[int], dtype: Any = None) -> tf.Tensor:
        # Only some parameters begin near zero: if all did, each would have a gradient near zero.
        factors = np.repeat(np.where(self.zero_at_identity, _NEAR_ZERO, 1.0), self.sizes)
        kernel = keras.initializers.GlorotUniform()(shape, dtype)
        return kernel * tf.cast(np.tile(factors, self.num_flows), kernel.dtype)

    def flows(self, flow_inputs: tf.Tensor | None) -> list[FlowBijector]:
        sizes = [self.num_flows, sum(self.sizes)]
        parameters = tf.reshape(flow_inputs, tf.concat([tf.shape(flow_inputs)[:-1], sizes], axis=0))
        parameters.set_shape(flow_inputs.shape[:-1].concatenate(sizes))
        return self.chain(parameters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_flows": self.num_flows}
