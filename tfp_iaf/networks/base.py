"""The contract of all autoregressive networks, and the checks of what they are called with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf._arguments import integer, sizes
from tfp_iaf._inherited import has_methods_of_declaration
from tfp_iaf._tensors import check_batches, check_numbers
from tfp_iaf._types import Shape, TensorLike
from tfp_iaf.layers import TrackedLayer, density_dtype

__all__ = ["Network"]

# What the inverses that read a network's layers take for granted.
_READ_BY_INVERSES = "advance", "call", "evaluate", "initial_state", "linear_maps", "make_layer"


class Network(TrackedLayer):
    """A Keras layer (y, context) -> parameters `[..., *event_shape, P]`, autoregressive in y.

    ```none
    network(y, context)[..., i, :] depends on y[..., j] only for entries j with degrees[j] < degrees[i], and on all of context
    ```

    Every flow that takes a network takes every subclass of this class. A subclass

    - passes `params`, `event_shape`, `context_size` and `**kwargs` on to `super().__init__`;
    - sets `self.degrees`, integers of the event's shape from 1 to its number of entries D: the place of each entry in the
      order; entries of equal degree do not read each other;
    - makes its layers in `__init__` and builds them in `build(self, input_shape=None)`, as in any Keras layer;
    - defines `call(self, y, context=None)`, whose leading dimensions broadcast;
    - adds its own arguments in `get_config`, and is registered with `keras.saving.register_keras_serializable`, so that models
      with it can be saved.

    Calls are checked here: a wrong shape or dtype, a missing or an unexpected context, and batches that do not broadcast raise
    a ValueError of one line.

    Attributes:
        params, event_shape, context_size: as given.
        context_shape: the context's trailing axes, (*event_shape[:-1], context_size), or None.
        degrees: an int array of the event's shape.
        inverses: names of the inverses of `bijectors.InverseAutoregressiveFlow` that serve the network, the best first. Every
            network has "fixed_point" and "sequential"; a subclass that defines anew how the network is evaluated (`call`,
            `evaluate`, `make_layer`, ...) has these two, unless it sets more.
        compiles_eager_calls: whether flows on the network run as a graph outside of a `tf.function`, made at the first call of
            each kind. Set it to True if calls depend on weights and arguments alone. A subclass that defines anew how the
            network is evaluated has False.
        tf_variables: the `tf.Variable`s below its weights, once it is built.

    Args:
        params: P, the number of parameters of each entry.
        event_shape: a size, or a tuple of sizes.
        context_size: C, the size of the context's last axis, or None for a network without context. The axes before it are
            those of the event: a vector of C numbers for a vector, C feature maps for an image.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Input shape: y `[..., *event_shape]`, context `[..., *context_shape]`; their leading dimensions broadcast.
    Output shape: `[..., *event_shape, P]`.

    Raises:
        ValueError: for sizes that are no positive integers, degrees that are no integers of the event's shape.

    Here the location of each entry is a multiple of the entry before it:

    >>> class Multiple(Network):
    ...     def __init__(self, event_shape, **kwargs):
    ...         super().__init__(params=1, event_shape=event_shape, **kwargs)
    ...         self.degrees = np.arange(1, self.event_shape[0] + 1)
    ...
    ...     def build(self, input_shape=None):
    ...         self.factor = self.add_weight(name="factor", shape=(), initializer="ones")
    ...
    ...     def call(self, y, context=None):
    ...         before = keras.ops.pad(y[..., :-1], [(0, 0)] * (len(y.shape) - 1) + [(1, 0)])
    ...         return (self.factor * before)[..., None]
    >>> Multiple(3)(np.array([[1.0, 2.0, 3.0]], "float32")).numpy()[..., 0]
    array([[0., 1., 2.]], dtype=float32)
    """

    inverses: tuple[str, ...] = ("fixed_point", "sequential")
    compiles_eager_calls = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # An inverse that reads the network's layers knows nothing of another `call`.
        if not has_methods_of_declaration(cls, "inverses", _READ_BY_INVERSES):
            cls.inverses = Network.inverses
        if not has_methods_of_declaration(cls, "compiles_eager_calls", _READ_BY_INVERSES):
            cls.compiles_eager_calls = False

    def __init__(
        self, params: int, event_shape: int | Sequence[int] | None, context_size: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.density_dtype = density_dtype(self)
        self.params = integer("params", params)
        self.event_shape: tuple[int, ...] = None
        if event_shape is not None:  # None for a subclass that finds it when it is built.
            self.event_shape = sizes("event_shape", event_shape)
        self.context_size = None if context_size is None else integer("context_size", context_size)

    @property
    def context_shape(self) -> tuple[int, ...] | None:
        if self.context_size is None:
            return None
        return (*(() if self.event_shape is None else self.event_shape[:-1]), self.context_size)

    @property
    def degrees(self) -> np.ndarray:
        try:
            return self.__dict__["_degrees_of_entries"]
        except KeyError:
            # Keras looks for attributes that do not exist yet.
            raise AttributeError(
                f"{self.name} has no degrees: a Network sets self.degrees, integers of the event's shape."
            ) from None

    @degrees.setter
    def degrees(self, degrees: TensorLike) -> None:
        degrees = np.asarray(degrees)
        if not np.issubdtype(degrees.dtype, np.integer) or degrees.shape != self.event_shape:
            raise ValueError(
                f"degrees must be integers of the event's shape {self.event_shape}, got {degrees.dtype} of shape "
                f"{degrees.shape}."
            )
        if degrees.min() < 1 or degrees.max() > degrees.size:
            raise ValueError(
                f"degrees must lie within 1 and the number of entries, {degrees.size}, got {degrees.min()} to {degrees.max()}."
            )
        self.__dict__["_degrees_of_entries"] = degrees

    def __call__(
        self, y: TensorLike, context: TensorLike | None = None, conditional_input: TensorLike | None = None, **kwargs: Any
    ) -> tf.Tensor:
        """The parameters `[..., *event_shape, P]`; `conditional_input` is TFP's word for the context."""
        if conditional_input is not None:
            if context is not None:
                raise ValueError(
                    f"{self.name} got context and conditional_input, which are two names of one: pass one of them."
                )
            context = conditional_input
        # Checked here, since Keras buries an error raised in `call` under a report of the call's arguments.
        self.check_inputs(y, context)
        if context is not None:
            kwargs["context"] = context
        parameters = super().__call__(y, **kwargs)
        shape = _shape(parameters)
        if shape.rank is not None and not shape[-1 - len(self.event_shape) :].is_compatible_with(
            [*self.event_shape, self.params]
        ):
            raise ValueError(
                f"{type(self).__name__}.call must return parameters of shape {_format([*self.event_shape, self.params])}, got "
                f"{tuple(shape)}."
            )
        return parameters

    def compute_output_shape(self, y_shape: Shape, context_shape: Shape | None = None) -> tuple[int | None, ...]:
        event_shape = tuple(y_shape[-1:]) if self.event_shape is None else self.event_shape
        axes = -len(event_shape)
        leading = tf.TensorShape(y_shape[:axes])
        if context_shape is not None:
            leading = tf.broadcast_static_shape(leading, tf.TensorShape(context_shape[:axes]))
        return (*leading, *event_shape, self.params)

    def check_inputs(self, y: Any, context: Any) -> None:
        """Raises a ValueError unless `y` and `context` fit the network, and each other.

        Args:
            y: the event.
            context: the context, or None.
        """
        for what, value in (("event", y), ("context", context)):
            is_plain = (isinstance(value, tf.Tensor) and value.dtype.is_floating) or (value is None and what == "context")
            if not is_plain and not (type(value) is np.ndarray and value.dtype.kind == "f"):
                check_numbers(f"{self.name}'s {what}", value, symbolic=True)
        if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(getattr(y, "dtype", "float32"))):
            raise ValueError(f"{self.name} expects floating-point events, got dtype {y.dtype}; cast them to {self.dtype}.")
        events = self._batch_shape("an event", y, self.event_shape or (None,))
        if context is None and self.context_size is None:
            return
        if self.context_size is None:
            raise ValueError(
                f"{self.name} takes no context, got one: leave it out, or make the network with "
                f"context_size={str(_shape(context)[-1:])[1:-1].rstrip(',')}."
            )
        if context is None:
            raise ValueError(
                f"{self.name} takes a context, got none: pass context= (or conditional_input=, TFP's name) of shape "
                f"{_format(self.context_shape)}; a flow on the network takes it when it is made."
            )
        contexts = self._batch_shape("a context", context, self.context_shape)
        pairs = zip(reversed(events or ()), reversed(contexts or ()))
        if any(size != other and not {size, other} & {None, 1} for size, other in pairs):
            check_batches(self.name, {"events": events, "a context": contexts})

    def _batch_shape(self, what, value, expected):
        """The static leading dimensions of a value that has the expected axes, or None where their number is unknown."""
        shape = _shape(value)
        if shape.rank is None:
            return None
        if shape.rank < len(expected) or not shape[-len(expected) :].is_compatible_with(expected):
            raise ValueError(f"{self.name} expects {what} of shape {_format(expected)}, got {tuple(shape)}.")
        return shape.as_list()[: -len(expected)]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "params": self.params,
            "event_shape": None if self.event_shape is None else list(self.event_shape),
            "context_size": self.context_size,
        }


def _shape(value):
    return tf.TensorShape(value.shape if hasattr(value, "shape") else np.shape(value))


def _format(expected):
    return f"[..., {', '.join('?' if size is None else str(size) for size in expected)}]"
