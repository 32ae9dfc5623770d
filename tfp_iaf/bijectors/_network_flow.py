"""What flows on a Keras network share: which variables TFP is shown, and where values come from in place of the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_iaf import _compat
from tfp_iaf._eager import other_variables, run_compiled
from tfp_iaf._types import TensorLike
from tfp_iaf.bijectors.base import FlowBijector

__all__ = ["NetworkFlow"]


class NetworkFlow(FlowBijector, _compat.CompositeBijector):
    """A flow on a Keras layer, whose weights the flow does not own.

    A subclass keeps in its constructor the built layer, or a function without weights, in `_network`; the context in
    `_context`; in `_trained` the `tf.Variable`s of the weights that are trained, since a `tf.Module` finds neither Keras
    layers nor Keras variables; and in `_has_frozen` whether there are others. It evaluates the network with `values()`, if
    there are any. Weights that are frozen when the flow is made, by Keras's `trainable = False`, are not among its
    `trainable_variables`.
    """

    _network: Any
    _context: Any = None
    _trained: tuple[tf.Variable, ...] = ()
    _has_frozen = False
    # Variables or values in place of the network's weights.
    _passed: tuple[Any, ...] | None = None

    @property
    def network(self) -> keras.layers.Layer | Callable:
        return self._network

    @property
    def context(self) -> TensorLike | None:
        return self._context

    @property
    def keras_weights(self) -> Sequence[keras.Variable]:
        return self._network.weights if isinstance(self._network, keras.layers.Layer) else ()

    @property
    def tf_variables(self) -> tuple[Any, ...]:
        """What stands for the network's weights, in their order.

        The `tf.Variable`s of those that are trained and the values of those that are frozen; of a flow that left a
        `tf.function`, the values of all.
        """
        # TFP asks many times in an eager call.
        if not self._has_frozen or self._passed is not None:
            return self._trained
        trained = {id(variable) for variable in self._trained}
        variables = _compat.tf_variables(self._network.weights)
        return tuple(each if id(each) in trained else tf.convert_to_tensor(each) for each in variables)

    def read_from(self, tf_variables: Sequence[Any]) -> None:
        """Evaluates the network with these variables or values: inside a `tf.function`, those that came in with the flow."""
        self._passed = self._trained = tuple(tf_variables)

    def values(self) -> list[tf.Tensor]:
        """Values in place of the network's weights; an empty list for the weights themselves."""
        return [*map(tf.convert_to_tensor, self._passed or ())]

    def _look_at_weights(self):
        if self._passed is not None or not isinstance(self._network, keras.layers.Layer):
            return super()._look_at_weights()
        seen = run_compiled(self._network, _fingerprint, (), (), (), at_once=False).numpy().tobytes()
        others = other_variables(self._network)
        seen = seen + _compat.fingerprint(others).numpy().tobytes() if others else seen
        # A context may be a variable, or depend on some.
        is_fixed = self._context is None or isinstance(self._context, tf.Tensor)
        return seen if is_fixed else seen + super()._look_at_weights()


def _fingerprint(network):
    return _compat.fingerprint(_compat.tf_variables(network.weights))
