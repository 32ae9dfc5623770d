"""The recurrent network that parametrizes an autoregressive flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import masks
from tfp_iaf._arguments import choice, given, sizes
from tfp_iaf._types import InputOrder, Shape
from tfp_iaf.networks._masked_network import OUTPUT_STDDEV
from tfp_iaf.networks.base import Network

__all__ = ["RecurrentAutoregressiveNetwork"]

_CELLS = {"lstm": keras.layers.LSTMCell, "gru": keras.layers.GRUCell}


@keras.saving.register_keras_serializable("tfp_iaf")
class RecurrentAutoregressiveNetwork(Network):
    """Parameters of each event entry, read off a recurrent cell that has seen the entries before it and the context.

    ```none
    y_(k): the k-th entry in the input order;   y_(0) = 0;   state_0 = 0
    h_k, state_k = cell([y_(k-1), context], state_{k-1})
    parameters of y_(k) = h_k @ kernel + bias
    ```

    The cell is Keras's LSTM or GRU, or a stack of them. The number of weights does not depend on D, and the last layer starts
    near zero. Both directions of a flow visit the D entries one after the other, each with a product with the cell's weights:
    the parallel direction is not parallel here, but inverting costs no more (`bijectors.InverseAutoregressiveFlow`).

    Args:
        params: number of parameters P of each entry.
        event_shape: D, or (D,): the size of the event.
        units: size of the cell's output, or a sequence of sizes for a stack of cells.
        cell: "lstm" or "gru".
        context_size: C, the size of the context; None for a network without context.
        input_order: "left-to-right", "right-to-left", "random", or a permutation of 1..D (see `masks.input_degrees`).
        seed: integer seed of a "random" input order.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Input shape: y `[..., D]`, context `[..., C]`; their leading dimensions broadcast.
    Output shape: `[..., D, P]`.

    Raises:
        ValueError: for an unknown cell or order, a wrong event or context size, a missing or an unexpected context, an
            integer y.

    Source: Kingma et al. 2016, first version, section 4.3. The cells: Hochreiter and Schmidhuber 1997; Cho et al. 2014.

    >>> net = RecurrentAutoregressiveNetwork(params=2, event_shape=8, units=16, context_size=5)
    >>> net(np.zeros([3, 8], "float32"), context=np.zeros([3, 5], "float32")).shape
    TensorShape([3, 8, 2])
    """

    inverses = ("recurrent", "fixed_point", "sequential")
    compiles_eager_calls = True

    def __init__(
        self,
        params: int,
        event_shape: int | Sequence[int],
        units: int | Sequence[int],
        cell: str = "lstm",
        context_size: int | None = None,
        input_order: InputOrder = "left-to-right",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(params=params, event_shape=event_shape, context_size=context_size, **kwargs)
        if self.event_shape is None or len(self.event_shape) != 1:
            raise ValueError(f"A recurrent network acts on vectors: expected event_shape (D,), got {given(event_shape)}.")
        self.degrees, self.input_order = masks.fixed_order(self.event_size, input_order, seed)
        self.units = sizes("units", units)
        if not self.units:
            raise ValueError("units must be a size or a non-empty sequence of sizes, got none.")
        self.cell = choice("cell", cell, _CELLS)
        cells = [
            _CELLS[cell](size, recurrent_initializer=_orthogonal, dtype=self.dtype_policy, name=f"{cell}_{i}")
            for i, size in enumerate(self.units)
        ]
        stack = cells[0] if len(cells) == 1 else keras.layers.StackedRNNCells(cells, dtype=self.dtype_policy, name="stack")
        # Not `keras.layers.LSTM`, which would take a kernel on GPUs that XLA cannot compile.
        self.recurrence = keras.layers.RNN(stack, return_sequences=True, dtype=self.dtype_policy, name="recurrence")
        self.output_layer = keras.layers.Dense(
            self.params,
            kernel_initializer=keras.initializers.RandomNormal(stddev=OUTPUT_STDDEV),
            dtype=self.dtype_policy,
            name="output",
        )

    @property
    def event_size(self) -> int:
        return self.event_shape[0]

    def build(self, input_shape: Shape | None = None) -> None:
        del input_shape  # All sizes are known.
        self.recurrence.build((None, self.event_size, 1 + (self.context_size or 0)))
        self.output_layer.build((None, self.units[-1]))

    def call(self, y: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        y = tf.convert_to_tensor(y)
        leading, static_leading = tf.shape(y)[:-1], y.shape[:-1]
        if context is not None:
            context = tf.convert_to_tensor(context)
            leading = tf.broadcast_dynamic_shape(leading, tf.shape(context)[:-1])
            static_leading = tf.broadcast_static_shape(static_leading, context.shape[:-1])
            context = _as_rows(context, leading, self.context_size)
        in_order = _gathered(_as_rows(y, leading, self.event_size), np.argsort(self.degrees))
        previous = tf.pad(in_order[:, :-1], [[0, 0], [1, 0]])[:, :, tf.newaxis]
        if context is not None:
            # Repeated, since a Keras cell takes all it reads as one input. (XLA refuses the gradient of tf.repeat in a loop.)
            repeated = context[:, tf.newaxis] + tf.zeros([self.event_size, 1], context.dtype)
            previous = tf.concat([previous, repeated], axis=-1)
        is_empty = previous.shape[0] == 0
        if is_empty:
            # A row to compute with: Keras takes a cell's empty products for biases.
            previous = tf.pad(previous, [[0, 1], [0, 0], [0, 0]])
        outputs = self.output_layer(self.recurrence(previous))
        parameters = _gathered(outputs[:0] if is_empty else outputs, self.degrees - 1)
        axes = [self.event_size, self.params]
        parameters = tf.reshape(parameters, tf.concat([leading, axes], axis=0))
        return tf.ensure_shape(parameters, static_leading.concatenate(axes))

    def initial_state(self, batch_size: int) -> Any:
        """The state before the first entry, of so many rows: a structure of tensors `[B, units]`."""
        return self.recurrence.cell.get_initial_state(batch_size=batch_size)

    def advance(self, previous: tf.Tensor, context: tf.Tensor | None, state: Any) -> tuple[tf.Tensor, Any]:
        """(parameters `[B, P]` of the next entry in the order, the next state), for entry-by-entry evaluation.

        Args:
            previous: `[B, 1]`, the entry before; zero for the first.
            context: `[B, C]` or None.
            state: what the call before returned; `initial_state` for the first.
        """
        inputs = previous if context is None else tf.concat([previous, context], axis=-1)
        outputs, state = self.recurrence.cell(inputs, state)
        return self.output_layer(outputs), state

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": list(self.units),
            "cell": self.cell,
            "input_order": self.input_order,
        }


def _orthogonal(shape, dtype=None):
    # Drawn in float32: TensorFlow has no QR decomposition in half precision.
    return keras.ops.cast(keras.initializers.Orthogonal()(shape, dtype="float32"), dtype)


def _as_rows(x, leading, size):
    return tf.reshape(tf.broadcast_to(x, tf.concat([leading, [size]], axis=0)), [-1, size])


def _gathered(x, indices):
    return x if np.array_equal(indices, np.arange(len(indices))) else tf.gather(x, indices, axis=1)
