"""Solves a system whose units form a cycle of layers and know an order.

Every unit has a group, 0..G-1. A unit of group i reads units of groups <= i of the layer before it; the first layer closes the cycle
and reads groups < i. The groups are taken in blocks. What a block reads from the blocks before it is one product per layer. The
block itself is evaluated as a whole until its inputs settle: after n evaluations its first n groups are exact.
Values are kept features first, [units, batch], where a block of units is contiguous.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_iaf.bijectors.inverses.fixed_point import settled

__all__ = ["Layer", "solve_cycle"]


class Layer(NamedTuple):
    """values = function(matrix @ inputs + offset, side, below).

    Args:
        matrix: `[units, inputs]`; zero where a unit may not read.
        groups, input_groups: the group of every unit and of every input; those outside of 0..G-1 play no part.
        offset: `[units, 1]` or `[units, batch]`.
        side: `[units, batch]`, handed to `function`, or None.
        function: (pre-activation, side, below) -> (value, carried), of the units of a block; `below` is what the layer
            before carried (None in the first). The value is what the next layer's matrix reads.
    """

    matrix: tf.Tensor
    groups: np.ndarray
    input_groups: np.ndarray
    offset: tf.Tensor
    side: tf.Tensor | None
    function: Callable


def solve_cycle(layers, close, sides, num_groups, scale=1.0):
    """The values of the last layer.

    Args:
        layers: a list of `Layer`.
        close: (values of the last layer, each side), of the groups of a block -> the inputs of the first layer, of those groups.
        sides: a non-empty list of (tensor `[units, batch]`, groups).
        num_groups: G.
        scale: the magnitude of inputs whose rounding counts as settled.

    Returns:
        `[units of the last layer, batch]`.
    """
    edges = _edges(num_groups)
    rows = [_Sorted(layer.groups, edges) for layer in layers]
    columns = [_Sorted(layers[0].input_groups, edges), *rows[:-1]]
    matrices = [row.sort(column.sort(layer.matrix, axis=1)) for layer, row, column in zip(layers, rows, columns)]
    offsets = [row.sort(layer.offset) for layer, row in zip(layers, rows)]
    layer_sides = [None if layer.side is None else row.sort(layer.side) for layer, row in zip(layers, rows)]
    sorted_sides = [(_Sorted(groups, edges), tensor) for tensor, groups in sides]
    sorted_sides = [(order, order.sort(tensor)) for order, tensor in sorted_sides]
    like = sides[0][0]
    # The inputs of every layer, and the values of the last, block by block.
    known = [[] for _ in range(len(layers) + 1)]
    for block in range(len(edges) - 1):
        parts = []
        for layer, matrix, row, column, offset, side, inputs in zip(
            layers, matrices, rows, columns, offsets, layer_sides, known
        ):
            start, stop = row.span(block)
            first, last = column.span(block)
            base = offset[start:stop]
            if inputs:
                base = base + tf.matmul(matrix[start:stop, :first], tf.concat(inputs, axis=0))
            side = None if side is None else side[start:stop]
            parts.append((layer.function, matrix[start:stop, first:last], base, side))
        here = [tensor[slice(*order.span(block))] for order, tensor in sorted_sides]
        widths = [column.span(block)[1] - column.span(block)[0] for column in columns]
        positions = columns[0].groups(block) - edges[block]
        values = _solve_block(parts, close, here, [*widths, parts[-1][1].shape[0]], positions, scale, like)
        for values_of_layer, value in zip(known, values):
            values_of_layer.append(value)
    return rows[-1].unsort(tf.concat(known[-1], axis=0))


def _solve_block(parts, close, sides, widths, positions, scale, like):
    """The inputs of every layer and the values of the last, of one block; `positions` are the inputs' groups within it."""
    # An input that is not exact yet may grow until it overflows, and would reach exact ones as inf * 0 = nan.
    largest = float(like.dtype.max) ** 0.5
    positions = positions[:, np.newaxis]
    batch_size = tf.shape(like)[1]

    def update(count, inputs, *_):
        values, below = [inputs], None
        for function, matrix, base, side in parts:
            value, below = function(tf.matmul(matrix, values[-1]) + base, side, below)
            values.append(value)
        new = close(values[-1], *sides)
        values[0] = tf.where(positions <= count, new, tf.clip_by_value(new, -largest, largest))
        values = [tf.ensure_shape(value, [width, like.shape[1]]) for value, width in zip(values, widths)]
        return (count + 1, *values, tf.logical_not(settled(new, inputs, scale)))

    start = [tf.zeros([width, batch_size], like.dtype) for width in widths]
    start = [tf.ensure_shape(value, [width, like.shape[1]]) for value, width in zip(start, widths)]
    _, *values, _ = tf.while_loop(
        lambda count, *others: others[-1], update, (0, *start, True), maximum_iterations=int(positions.max(initial=-1)) + 1
    )
    return values


def _edges(num_groups):
    """Where blocks begin and end: blocks of 16 groups, or 32 from 512 groups on, of nearly equal size."""
    size = 16 if num_groups < 512 else 32
    num_blocks = -(-num_groups // size)
    return [num_groups * k // num_blocks for k in range(num_blocks + 1)]


class _Sorted:
    """Units in the order of their groups, without those of groups out of range."""

    def __init__(self, groups, edges):
        groups = np.asarray(groups)
        order = np.argsort(groups, kind="stable")
        self._order = order[(groups[order] >= 0) & (groups[order] < edges[-1])]
        self._size = len(groups)
        self._groups = groups[self._order]
        self._starts = np.searchsorted(self._groups, edges)
        self._is_identity = np.array_equal(self._order, np.arange(self._size))

    def span(self, block):
        return int(self._starts[block]), int(self._starts[block + 1])

    def groups(self, block):
        return self._groups[slice(*self.span(block))]

    def sort(self, x, axis=0):
        return x if self._is_identity else tf.gather(x, self._order, axis=axis)

    def unsort(self, x):
        return x if self._is_identity else tf.gather(x, np.argsort(self._order), axis=0)
