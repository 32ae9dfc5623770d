"""What every inverse of an autoregressive flow solves."""

from __future__ import annotations

import abc
import contextlib
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_iaf import _compat
from tfp_iaf.bijectors.maps import ElementwiseMap
from tfp_iaf.bijectors.maps.base import wrong_shapes
from tfp_iaf.networks import Network

__all__ = ["Equation", "Inverse"]


class Equation:
    """y = g(y), where g_i(y) = f^-1(z_i; parameters_i(y_<i, context)): its solution is the y with f(y; parameters(y)) = z.

    Args:
        network: the `networks.Network` that gives the parameters.
        elementwise_map: f, a `maps.ElementwiseMap`.
        z: `[..., *event]`, with the full batch shape; None where y is known.
        context: a tensor, or None.
        values: tensors, the values of the network's weights; None for the weights themselves.
    """

    def __init__(
        self,
        network: Network,
        elementwise_map: ElementwiseMap,
        z: tf.Tensor | None,
        context: tf.Tensor | None,
        values: Any,
    ) -> None:
        self.network = network
        self.map = elementwise_map
        self.z = z
        self.context = context
        self.values = values

    def weights(self) -> contextlib.AbstractContextManager[None]:
        """Inside, the network's weights have the equation's values."""
        return _compat.with_values(self.network, self.values)

    def parameters_at(self, y: tf.Tensor) -> tf.Tensor:
        """The network's parameters at y, in y's dtype."""
        with self.weights():
            return tf.cast(self.network(y, context=self.context), y.dtype)

    def image(self, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(g, log|det dz/dy|) at the y whose parameters these are."""
        y, log_derivative = self.map.inverse(self.z, parameters)
        if not (self.z.shape.is_compatible_with(np.shape(y)) and self.z.shape.is_compatible_with(np.shape(log_derivative))):
            raise wrong_shapes(self.map, self.z, y, log_derivative)
        return y, tf.reduce_sum(log_derivative, axis=range(-len(self.network.event_shape), 0))


class Inverse(abc.ABC):
    """Finds the y with f(y; network(y, context)) = z: what a user writes to bring an inverse of their own.

    A subclass defines `__call__`. Gradients are those of what it computes; see `ImplicitInverse` for searches.

    Attributes:
        has_adjoint: whether it solves for the score at z of a given y, with a method `forward_and_score`; otherwise that is the
            gradient of the inverse.
    """

    has_adjoint = False

    @classmethod
    def serves(cls, network: Network) -> bool:
        """Whether this inverse works for a network of a kind that lists it, as the network is set up."""
        del network
        return True

    @abc.abstractmethod
    def __call__(self, equation: Equation) -> tuple[tf.Tensor, tf.Tensor]:
        """(y, log|det dz/dy| at y) of an `Equation`."""
