"""The chain of flows whose parameters all come from the features: what planar, radial and Sylvester posteriors share."""

from __future__ import annotations

import abc
from typing import Any

import tensorflow as tf

from tfp_iaf._arguments import integer
from tfp_iaf.bijectors import FlowBijector
from tfp_iaf.posteriors.base import Posterior

__all__ = ["AmortizedChain"]


class AmortizedChain(Posterior):
    """A posterior of K flows of one kind; a subclass says how many parameters one flow has, and makes the flows.

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
    def num_parameters(self) -> int:
        """The number of parameters of one flow."""

    @abc.abstractmethod
    def chain(self, parameters: tf.Tensor) -> list[FlowBijector]:
        """The flows of parameters `[..., num_flows, num_parameters]`, in the order in which they act."""

    @property
    def flow_size(self) -> int:
        return self.num_flows * self.num_parameters

    def flows(self, flow_inputs: tf.Tensor | None) -> list[FlowBijector]:
        sizes = [self.num_flows, self.num_parameters]
        parameters = tf.reshape(flow_inputs, tf.concat([tf.shape(flow_inputs)[:-1], sizes], axis=0))
        return self.chain(tf.ensure_shape(parameters, flow_inputs.shape[:-1].concatenate(sizes)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_flows": self.num_flows}
