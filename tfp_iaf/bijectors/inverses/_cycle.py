"""Solves a system of units that form a cycle of layers and have an order.

Every unit has a group, 0..G-1. A unit of group i reads units of groups <= i of the layer before it; the first layer closes
the cycle and reads groups < i. The groups are taken in blocks. What a block reads from the blocks before it is one product
per layer. The block itself is evaluated as a whole until its inputs settle: after n evaluations its first n groups are exact.
Nothing is transposed or reversed: that takes as long as the products.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_iaf.bijectors.inverses.fixed_point import settled

__all__ = ["Layer", "solve_cycle"]

# Up to so many rows, the number of operations decides over the time, and not their size.
FEW_ROWS = 8


class Layer(NamedTuple):
    """values = function(inputs @ matrix + offset, side, below).

    Args:
        matrix: `[inputs, units]`, or `[units, inputs]` of which the transpose is meant; zero where a unit may not read.
        is_transposed: whether it is the second.
        groups, input_groups: the group of every unit and of every input; those outside of 0..G-1 play no part.
        offset: `[1, units]` or `[batch, units]`.
        side: `[batch, units]`, handed to `function`, or None.
        function: (pre-activation, side, below) -> (value, carried), of the units of a block; `below` is what the layer
            before carried (None in the first, and in the last for the first guess). The value is what the next layer's matrix
            reads.
    """

    matrix: tf.Tensor
    is_transposed: bool
    groups: np.ndarray
    input_groups: np.ndarray
    offset: tf.Tensor
    side: tf.Tensor | None
    function: Callable


def solve_cycle(layers, close, sides, num_groups, scale):
    """The values of the last layer.

    Args:
        layers: a list of `Layer`.
        close: (values of the last layer, inputs of the evaluation before, each side), of the groups of a block -> the inputs
            of the first layer, of those groups.
        sides: a non-empty list of (tensor `[batch, units]`, groups).
        num_groups: G.
        scale: the magnitude of inputs whose rounding counts as settled, `[batch, 1]`.

    Returns:
        `[batch, units of the last layer]`.
    """
    edges = _edges(num_groups, sides[0][0].shape[0])
    rows = [_Ordered(layer.groups, edges) for layer in layers]
    columns = [_Ordered(layers[0].input_groups, edges), *rows[:-1]]
    matrices = [_matrices(layer, row, column) for layer, row, column in zip(layers, rows, columns)]
    offsets = [row.split(layer.offset) for layer, row in zip(layers, rows)]
    layer_sides = [None if layer.side is None else row.split(layer.side) for layer, row in zip(layers, rows)]
    close_sides = [_Ordered(groups, edges).split(tensor) for tensor, groups in sides]
    # Blocks mostly have the same shapes: one trace serves them all.
    solver = _BlockSolver([layer.function for layer in layers], [layer.is_transposed for layer in layers], close)
    solve_block = tf.function(solver, autograph=False)
    # The inputs of every layer, and the values of the last, block by block.
    known = [[] for _ in range(len(layers) + 1)]
    for block in range(len(edges) - 1):
        bases, own = [], []
        for k, layer in enumerate(layers):
            read, own_part = matrices[k][block]
            base = offsets[k][block]
            if block:
                base = base + _product(columns[k].join(known[k]), read, layer.is_transposed)
            bases.append(base)
            own.append(own_part)
        positions = columns[0].groups(block) - edges[block]
        here = [None if side is None else side[block] for side in layer_sides]
        values = solve_block(own, bases, here, [side[block] for side in close_sides], scale, tuple(positions.tolist()))
        for values_of_layer, value in zip(known, values):
            values_of_layer.append(value)
    return rows[-1].restore(rows[-1].join(known[-1]))


def _matrices(layer, units, inputs):
    """For each block, two matrices: what its units read from the blocks before it, and what they read from the block itself."""
    unit_axis = 0 if layer.is_transposed else 1
    parts = units.split(inputs.arrange(layer.matrix, axis=1 - unit_axis), axis=unit_axis)
    spans = [(inputs.before(block), inputs.span(block)) for block in range(len(parts))]
    if layer.is_transposed:
        return [(part[:, before], part[:, here]) for part, (before, here) in zip(parts, spans)]
    return [(part[before], part[here]) for part, (before, here) in zip(parts, spans)]


class _BlockSolver:
    """Evaluates one block until its inputs settle.

    Args:
        functions, are_transposed: of the layers.
        close: see `solve_cycle`.
    """

    def __init__(self, functions, are_transposed, close):
        self._functions = functions
        self._are_transposed = are_transposed
        self._close = close

    def __call__(self, matrices, bases, layer_sides, sides, scale, positions):
        """The inputs of every layer and the values of the last.

        Args:
            matrices: what the block reads from itself, per layer.
            bases: the offsets and what the block reads from the blocks before it, per layer.
            layer_sides, sides: those of the layers and of `close`.
            scale: see `solve_cycle`.
            positions: the groups of the inputs, counted from the block's first.
        """
        like = sides[0]
        # An input that is not exact yet may grow until it overflows, and would reach exact ones as inf * 0 = nan.
        largest = float(like.dtype.max) ** 0.5
        positions = np.asarray(positions, np.int32)
        unit_axes = [0 if is_transposed else 1 for is_transposed in self._are_transposed]
        sizes = [len(positions), *(matrix.shape[axis] for matrix, axis in zip(matrices, unit_axes))]

        def bounded(inputs):
            return tf.clip_by_value(inputs, -largest, largest)

        def update(count, inputs, *_):
            values, below = [inputs], None
            for function, matrix, is_transposed, base, side in zip(
                self._functions, matrices, self._are_transposed, bases, layer_sides
            ):
                value, below = function(_product(values[-1], matrix, is_transposed) + base, side, below)
                values.append(value)
            new = self._close(values[-1], inputs, *sides)
            values[0] = tf.where(positions <= count, new, bounded(new))
            values = [tf.ensure_shape(value, [like.shape[0], size]) for value, size in zip(values, sizes)]
            return (count + 1, *values, tf.logical_not(settled(new, inputs, scale, 1)))

        start = [tf.zeros([tf.shape(like)[0], size], like.dtype) for size in sizes]
        # As if no unit of the block read another: that saves a round.
        first, _ = self._functions[-1](bases[-1] + start[-1], layer_sides[-1], None)
        start[0] = bounded(self._close(first, start[0], *sides))
        start = [tf.ensure_shape(value, [like.shape[0], size]) for value, size in zip(start, sizes)]
        count = int(positions.max(initial=-1)) + 1
        _, *values, _ = tf.while_loop(lambda count, *others: others[-1], update, (0, *start, True), maximum_iterations=count)
        return values


def _product(inputs, matrix, is_transposed):
    """What the units of a `Layer`'s matrix, or of a part of it, read from its inputs."""
    num_units, num_inputs = matrix.shape if is_transposed else matrix.shape[::-1]
    if 0 in (num_units, num_inputs):
        # TensorFlow fuses a product with a sum, and where it does so with oneDNN, an empty one ends the process.
        return tf.zeros([tf.shape(inputs)[0], num_units], inputs.dtype)
    return tf.matmul(inputs, matrix, transpose_b=is_transposed)


def _edges(num_groups, num_rows):
    """Where blocks begin and end.

    Small blocks take less work; few blocks take fewer operations, and compile sooner. `num_rows` may be None.
    """
    size = 16 if num_groups < 128 else 32
    if num_rows is not None and num_rows <= FEW_ROWS:
        size *= 2
    num_blocks = -(-num_groups // size)
    return [num_groups * k // num_blocks for k in range(num_blocks + 1)]


class _Ordered:
    """Units in an order in which each block is a slice, without those of groups out of range.

    Units whose groups rise or fall all along stay as they are: moving columns takes much longer than a product. Where they
    fall, the first block is the last slice.
    """

    def __init__(self, groups, edges):
        groups = np.asarray(groups)
        changes = np.diff(groups)
        self._falls = bool((changes <= 0).all() and (changes < 0).any())
        # Within a group the order stays: it is that of an entry's parameters.
        order = np.arange(len(groups)) if self._falls else np.argsort(groups, kind="stable")
        self._order = order[(groups[order] >= 0) & (groups[order] < edges[-1])]
        self._groups = groups[self._order]
        counts = np.histogram(self._groups, bins=edges)[0]
        ends = np.cumsum(counts)
        if self._falls:
            self._spans = [slice(int(ends[-1] - end), int(ends[-1] - end + count)) for end, count in zip(ends, counts)]
        else:
            self._spans = [slice(int(end - count), int(end)) for end, count in zip(ends, counts)]
        self._is_slice = bool((np.diff(self._order) == 1).all())
        self._size = len(groups)

    def span(self, block):
        return self._spans[block]

    def before(self, block):
        """Where the units of the blocks before this one are."""
        return slice(self._spans[block].stop, None) if self._falls else slice(self._spans[block].start)

    def groups(self, block):
        return self._groups[self._spans[block]]

    def arrange(self, x, axis):
        if not self._is_slice:
            return tf.gather(x, self._order, axis=axis)
        if len(self._order) == self._size:
            return x
        first = int(self._order[0]) if self._order.size else 0
        return x[(slice(None),) * axis + (slice(first, first + self._order.size),)]

    def split(self, x, axis=1):
        """The parts of the blocks, the first block first."""
        return self._in_turn(tf.split(self.arrange(x, axis), [s.stop - s.start for s in self._in_turn(self._spans)], axis=axis))

    def join(self, parts):
        """The parts of the first blocks, or of all, in this order."""
        return tf.concat(self._in_turn(parts), axis=1)

    def restore(self, x):
        """All units, in the order that they were given in."""
        return x if self._is_slice else tf.gather(x, np.argsort(self._order), axis=1)

    def _in_turn(self, parts):
        return parts[::-1] if self._falls else parts
