"""Solves an autoregressive system group by group, computing every unit once.

The units of the system form a cycle of layers, and every unit has a group, 0..G-1. A unit of group i reads units of groups
<= i of the layer before it; the first layer closes the cycle and reads groups < i. So the groups can be computed in order.

Groups are taken in blocks. At the start of a block one product a layer adds up what the block reads from all blocks before
it. A block is solved by halves: its first half, one product a layer that adds up what the second half reads from the first,
the second half. A whole solution costs about one pass over the weights' nonzero half. Values are kept features first,
[units, batch], where a block of units is contiguous.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

__all__ = ["Layer", "solve"]

# Graphs grow with it; with 256 groups, 16 branches saved nothing more.
_MAX_BRANCHES = 8


class Layer(NamedTuple):
    """values = function(matrix @ inputs + offset, side, below).

    Args:
        matrix: `[units, inputs]`; zero where a unit may not read.
        groups, input_groups: the group of every unit and of every input; none outside of 0..G-1 is read.
        offset: `[units, 1]` or `[units, batch]`.
        side: `[units, batch]`, handed to `function`, or None.
        function: (pre-activation, side, below) -> (value, carried), of some units of one group; `below` is what the layer
            before carried (None in the first). The value is what the next layer's matrix reads.
    """

    matrix: tf.Tensor
    groups: np.ndarray
    input_groups: np.ndarray
    offset: tf.Tensor
    side: tf.Tensor | None
    function: Callable


def solve(layers, close, close_sides, num_groups):
    """The values of the last layer.

    Args:
        layers: a list of `Layer`.
        close: (value of the last layer, one group of each side) -> the inputs of the first layer, all of one group.
        close_sides: a non-empty list of (tensor `[units, batch]`, groups).
        num_groups: G.

    Returns:
        `[units of the last layer, batch]`.
    """
    batch_size = close_sides[0][0].shape[1]
    if batch_size == 0:
        return tf.zeros([len(layers[-1].groups), 0], layers[0].matrix.dtype)
    if batch_size is None:
        return _solve_of_unknown_size(layers, close, close_sides, num_groups)
    return _solve(layers, close, close_sides, num_groups, batch_size)


def _solve_of_unknown_size(layers, close, close_sides, num_groups):
    """An empty batch gets a row, since TensorFlow's scatter refuses it."""
    batch_size = tf.shape(close_sides[0][0])[1]
    missing = tf.cast(tf.equal(batch_size, 0), tf.int32)

    def padded(x):
        return x if x is None or x.shape[1] == 1 else tf.pad(x, [[0, 0], [0, missing]])

    layers = [layer._replace(offset=padded(layer.offset), side=padded(layer.side)) for layer in layers]
    close_sides = [(padded(side), groups) for side, groups in close_sides]
    return _solve(layers, close, close_sides, num_groups, batch_size + missing)[:, :batch_size]


def _solve(layers, close, close_sides, num_groups, batch_size):
    block = _block_size(num_groups)
    num_blocks = math.ceil(num_groups / block)
    count = num_blocks * block
    dtype = layers[0].matrix.dtype
    rows = [_Slots(layer.groups, count) for layer in layers]
    columns = [_Slots(layers[0].input_groups, count), *rows[:-1]]

    def in_blocks(x, slots):
        """`[units, n]` as `[blocks, units of a block, n]`."""
        return tf.reshape(slots.spread(x), [num_blocks, block * slots.width, -1])

    matrices = [
        in_blocks(tf.transpose(column.spread(tf.transpose(layer.matrix))), row)
        for layer, row, column in zip(layers, rows, columns)
    ]
    # What a block reads from itself.
    diagonals = [
        tf.stack([matrix[k, :, k * block * column.width : (k + 1) * block * column.width] for k in range(num_blocks)])
        for matrix, column in zip(matrices, columns)
    ]
    offsets = [in_blocks(layer.offset, row) for layer, row in zip(layers, rows)]
    sides = [None if layer.side is None else in_blocks(layer.side, row) for layer, row in zip(layers, rows)]
    close_sides = [in_blocks(side, _Slots(groups, count)) for side, groups in close_sides]

    def body(index, buffers):
        known = [tf.reshape(buffer, [count * column.width, batch_size]) for buffer, column in zip(buffers, columns)]
        here = [tf.gather(matrix, index) for matrix in matrices]
        read = _read_from_known(here, known, columns, block, index, num_blocks)
        block_solver = _Block(
            layers,
            close,
            [tf.gather(diagonal, index) for diagonal in diagonals],
            [None if side is None else tf.split(tf.gather(side, index), block) for side in sides],
            [tf.split(tf.gather(side, index), block) for side in close_sides],
        )
        block_solver.solve(0, block, [sums + tf.gather(offset, index) for sums, offset in zip(read, offsets)])
        updated = [
            tf.tensor_scatter_nd_update(buffer, [[index]], tf.concat(values, axis=0)[tf.newaxis])
            for buffer, values in zip(buffers, block_solver.values)
        ]
        return index + 1, tuple(updated)

    widths = [column.width for column in columns] + [rows[-1].width]
    buffers = tuple(tf.zeros([num_blocks, block * width, batch_size], dtype) for width in widths)
    _, buffers = tf.while_loop(
        lambda index, _: index < num_blocks, body, (tf.constant(0), buffers), maximum_iterations=num_blocks
    )
    return rows[-1].collect(tf.reshape(buffers[-1], [count * rows[-1].width, batch_size]))


def _read_from_known(matrices, known, columns, block, index, num_blocks):
    """What the block of this index reads from the blocks before it, `[rows of a block, batch]` a layer.

    Shapes are static, so a product reads the blocks known at the last index of its branch; those still to come are zero.
    """
    num_branches = min(num_blocks, _MAX_BRANCHES)

    def products(num_known):
        widths = [num_known * block * column.width for column in columns]
        return [tf.matmul(matrix[:, :width], x[:width]) for matrix, x, width in zip(matrices, known, widths)]

    # Branch b serves the indices with index * num_branches // num_blocks == b.
    last_indices = [((branch + 1) * num_blocks - 1) // num_branches for branch in range(num_branches)]
    branches = [functools.partial(products, last_index) for last_index in last_indices]
    return tf.switch_case(index * num_branches // num_blocks, branches)


class _Block:
    """The groups of one block, solved in order.

    Args:
        layers, close: see `solve`.
        matrices: what the block reads from itself, a matrix a layer.
        sides: a list of tensors by group, or None, for each layer.
        close_sides: a list of tensors by group for each side.
    """

    def __init__(self, layers, close, matrices, sides, close_sides):
        self._layers = layers
        self._close = close
        self._matrices = matrices
        self._sides = sides
        self._close_sides = close_sides
        self._num_groups = len(close_sides[0])
        # By group: the inputs of every layer, and the values of the last.
        self.values = [[] for _ in range(len(layers) + 1)]

    def solve(self, start, stop, sums):
        """Computes the groups start..stop-1, of which `sums` holds, a layer, what they read from groups before `start`."""
        if stop - start == 1:
            self._solve_group(start, sums)
            return
        middle = (start + stop) // 2
        halves = [tf.split(rows, 2) for rows in sums]
        self.solve(start, middle, [first for first, _ in halves])
        from_first = [self._read(number, slice(middle, stop), slice(start, middle)) for number in range(len(sums))]
        self.solve(middle, stop, [second + read for (_, second), read in zip(halves, from_first)])

    def _solve_group(self, group, sums):
        below = None
        for number, (layer, pre_activation) in enumerate(zip(self._layers, sums)):
            if number > 0:  # The first layer reads earlier groups only.
                pre_activation += self._read(number, slice(group, group + 1), slice(group, group + 1))
            side = None if self._sides[number] is None else self._sides[number][group]
            value, below = layer.function(pre_activation, side, below)
            self.values[number + 1].append(value)
        self.values[0].append(self._close(value, *(side[group] for side in self._close_sides)))

    def _read(self, number, readers, groups):
        """What groups read, in one layer, from groups whose values are known."""
        matrix = self._matrices[number]
        # Every group has the same number of rows, and of columns.
        rows, columns = (size // self._num_groups for size in matrix.shape)
        matrix = matrix[readers.start * rows : readers.stop * rows, groups.start * columns : groups.stop * columns]
        return tf.matmul(matrix, tf.concat(self.values[number][groups], axis=0))


def _block_size(num_groups):
    """A power of two near the square root: measured best for 32 to 1024 groups, with XLA and without."""
    return 2 ** round(math.log2(num_groups) / 2)


class _Slots:
    """The place of units in a layout where every group has the same number of slots, some of them empty."""

    def __init__(self, groups, num_groups):
        groups = np.asarray(groups)
        self._num_units = len(groups)
        members = [np.flatnonzero(groups == group) for group in range(num_groups)]
        self.width = max(1, *map(len, members))
        # The index after the last stands for an empty slot.
        slots = np.full([num_groups, self.width], self._num_units)
        for group, units in enumerate(members):
            slots[group, : len(units)] = units
        self._slots = slots.ravel()
        self._is_identity = np.array_equal(self._slots, np.arange(self._num_units))

    def spread(self, x):
        """`[units, n]` -> `[slots, n]`, zero where empty."""
        return x if self._is_identity else tf.gather(tf.pad(x, [[0, 1], [0, 0]]), self._slots)

    def collect(self, x):
        """`[slots, n]` -> `[units, n]`, for layouts that leave no unit out."""
        return x if self._is_identity else tf.gather(x, np.argsort(self._slots, kind="stable")[: self._num_units])
