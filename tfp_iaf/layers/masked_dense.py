"""A dense layer whose connections follow the degrees of its inputs and outputs."""

from __future__ import annotations

import functools
import itertools
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfp_iaf import masks
from tfp_iaf._arguments import integer
from tfp_iaf.layers._masked_layer import MaskedLayer

__all__ = ["MaskedDense"]

# An axis of a kernel is cut into one block per this many entries, and into at most `MAX_BLOCKS`. From 1,024 on, products then
# take 0.4 to 1.0 of the time on a CPU, forward and backward, with XLA and without, and 0.6 of the memory, the optimizer's
# included. Smaller kernels gain less, and every block is one more weight for which an optimizer's step is compiled.
# An optimizer's state is saved for each block, so after a release these numbers have to stay: others could not resume training
# from its files.
BLOCK_SIZE = 256
MAX_BLOCKS = 4

# Regularizers that are sums over the entries of a kernel: those of its blocks add up to that of the whole.
_SUMS_OVER_ENTRIES = (type(None), keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)


@keras.saving.register_keras_serializable("tfp_iaf")
class MaskedDense(MaskedLayer):
    """`x @ (kernel * mask) + bias`, with `mask = masks.degree_mask(in_degrees, out_degrees, strict)`.

    The mask acts in the forward pass, so whatever an optimizer, a norm clip or a load writes into the kernel, no
    forbidden connection can open (MADE, Germain et al. 2015, equation 9).

    If the kernel is large, and its degrees rise or fall along both axes, it is kept and multiplied in blocks
    (`masks.kernel_blocks`): those without an allowed entry, which are nearly half, do not exist, and only those on the boundary
    are masked. Files hold one kernel `[I, O]` all the same.

    Args:
        in_degrees: [I] integers, the degrees of the inputs.
        out_degrees: [O] integers, the degrees of the outputs.
        strict: whether an output reads only inputs of lower degree, or also of its own.
        use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, kernel_constraint,
            bias_constraint: as in `keras.layers.Dense`.
        num_blocks: into how many blocks to cut each axis of the kernel. It changes speed and memory, and not what a file of
            weights holds. None for one per 256 inputs and outputs, from 1 to 4. Unsorted degrees allow only 1, and so do a
            constraint and a regularizer other than L1 and L2, which see the whole kernel.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Input shape: `[..., I]`. Output shape: `[..., O]`.

    Raises:
        ValueError: if `num_blocks` is no positive integer, more than O, or more than 1 where only 1 is allowed.

    >>> layer = MaskedDense([1, 2, 3], [1, 2, 3], strict=True, kernel_initializer="ones")
    >>> layer(np.ones([1, 3], "float32")).numpy()
    array([[0., 1., 2.]], dtype=float32)
    """

    def __init__(
        self,
        in_degrees: npt.ArrayLike,
        out_degrees: npt.ArrayLike,
        strict: bool = False,
        num_blocks: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_degrees=in_degrees, out_degrees=out_degrees, strict=strict, **kwargs)
        self.num_blocks = num_blocks
        # Floats, since comparisons of int32 have no GPU kernel. Ranks, since large degrees are no exact floats.
        ranks = np.unique([*self.in_degrees, *self.out_degrees], return_inverse=True)[1].astype(np.float32)
        self._in_ranks, self._out_ranks = np.split(ranks, [len(self.in_degrees)])
        self._row_sizes, self._column_sizes = self._cut()
        self._blocks = self._make_blocks()

    @property
    def mask(self) -> np.ndarray:
        return masks.degree_mask(self.in_degrees, self.out_degrees, self.strict)

    @property
    def _shape(self):
        return len(self.in_degrees), len(self.out_degrees)

    def _cut(self):
        """The sizes of the blocks of rows, and of the blocks of columns."""
        whole = [len(self.in_degrees)], [len(self.out_degrees)]
        sees_whole_kernel = self.kernel_constraint is not None or type(self.kernel_regularizer) not in _SUMS_OVER_ENTRIES
        num_blocks = self.num_blocks
        if num_blocks is None:
            is_sorted = masks.is_monotone(self.in_degrees) and masks.is_monotone(self.out_degrees)
            num_blocks = min(min(self._shape) // BLOCK_SIZE, MAX_BLOCKS) if is_sorted and not sees_whole_kernel else 1
        elif integer("num_blocks", num_blocks) > 1 and sees_whole_kernel:
            raise ValueError(
                f"num_blocks must be 1 or None with a kernel_constraint, or a kernel_regularizer other than L1 and L2, which "
                f"see the whole kernel, got {num_blocks}."
            )
        if num_blocks <= 1:
            return whole
        return masks.kernel_blocks(self.in_degrees, self.out_degrees, num_blocks, self.strict)

    def _make_blocks(self):
        """Of each block of columns, its `_Block`s: one of all rows that every column reads, and those on the boundary."""
        row_cuts, column_cuts = np.cumsum([0, *self._row_sizes]), np.cumsum([0, *self._column_sizes])

        def block(first, last, columns, is_masked):
            return _Block(first, last, slice(row_cuts[first], row_cuts[last]), slice(*columns), is_masked)

        if self._is_whole:
            return [[block(0, 1, column_cuts, True)]]
        mask, blocks = self.mask, []
        for columns in itertools.pairwise(column_cuts):
            parts = np.split(mask[:, slice(*columns)], row_cuts[1:-1])
            full = [k for k, part in enumerate(parts) if part.all()]
            blocks.append([block(full[0], full[-1] + 1, columns, False)] if full else [])
            blocks[-1] += [block(k, k + 1, columns, True) for k, part in enumerate(parts) if part.any() and not part.all()]
        return blocks

    @property
    def _is_whole(self):
        return len(self._row_sizes) == len(self._column_sizes) == 1

    def build_kernel(self) -> None:
        self._kernels = [
            self.add_kernel(
                "kernel" if self._is_whole else f"kernel_{k}",
                (block.rows.stop - block.rows.start, block.columns.stop - block.columns.start),
                # The initializer's fans are those of the whole kernel.
                lambda shape, dtype=None, block=block: self.initial_kernel(self._shape, dtype)[block.rows, block.columns],
            )
            for k, block in enumerate(itertools.chain(*self._blocks))
        ]

    def _masked_blocks(self, dtype):
        """For each block of columns, pairs (`_Block`, its masked kernel)."""
        kernels = iter(self._kernels)

        def allowed(block):
            # Compared in the graph: masks as constants would take a multiple of the weights' memory, in every graph.
            rows, columns = self._in_ranks[block.rows, np.newaxis], self._out_ranks[np.newaxis, block.columns]
            return tf.greater(columns, rows) if self.strict else tf.greater_equal(columns, rows)

        def masked(block):
            return self.masked(next(kernels), functools.partial(allowed, block) if block.is_masked else None, dtype)

        return [[(block, masked(block)) for block in blocks] for blocks in self._blocks]

    def kernels_and_masks(self) -> list[tuple[keras.Variable, np.ndarray | None]]:
        mask = self.mask
        return [
            (kernel, mask[block.rows, block.columns] if block.is_masked else None)
            for kernel, block in zip(self._kernels, itertools.chain(*self._blocks))
        ]

    @property
    def kernel(self) -> tf.Tensor:
        """The masked kernel, `[I, O]`."""
        dtype = tf.as_dtype(self.variable_dtype)
        columns = []
        for size, blocks in zip(self._column_sizes, self._masked_blocks(dtype)):
            pieces = {block.first: (block.last, kernel) for block, kernel in blocks}
            k, rows = 0, []
            while k < len(self._row_sizes):
                last, piece = pieces.get(k) or (k + 1, tf.zeros([self._row_sizes[k], size], dtype))
                rows.append(piece)
                k = last
            columns.append(_concatenated(rows, axis=0))
        return _concatenated(columns, axis=1)

    def squared_norms(self, dtype: Any) -> tf.Tensor:
        """The sum of squares of each column of `kernel`, `[O]`."""
        sums = [
            sum((tf.reduce_sum(tf.square(kernel), axis=0) for _, kernel in blocks), tf.zeros([size], dtype))
            for size, blocks in zip(self._column_sizes, self._masked_blocks(dtype))
        ]
        return _concatenated(sums, axis=0)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        x = tf.convert_to_tensor(x)
        num_inputs, num_outputs = self._shape
        # One leading axis: with more, TensorFlow would repeat the kernel for each leading index.
        rows = x if x.shape.rank == 2 else tf.reshape(x, [-1, num_inputs])
        # Split, not sliced: the gradient of a split is one concatenation, and that of slices a sum of padded tensors.
        pieces = [rows] if self._is_whole else tf.split(tf.ensure_shape(rows, [None, num_inputs]), self._row_sizes, axis=1)
        columns = []
        for size, blocks in zip(self._column_sizes, self._masked_blocks(x.dtype)):
            terms = [tf.matmul(_concatenated(pieces[block.first : block.last], axis=1), kernel) for block, kernel in blocks]
            columns.append(tf.add_n(terms) if terms else tf.zeros([tf.shape(rows)[0], size], x.dtype))
        outputs = _concatenated(columns, axis=1)
        if self.bias is not None:
            # Not a sum, whose gradient must ask for shapes where the number of rows is unknown.
            outputs = tf.nn.bias_add(outputs, tf.cast(tf.convert_to_tensor(self.bias), outputs.dtype))
        if x.shape.rank != 2:
            outputs = tf.reshape(outputs, tf.concat([tf.shape(x)[:-1], [num_outputs]], axis=0))
            # No `tf.ensure_shape`, an operation that LiteRT lacks.
            outputs.set_shape(x.shape[:-1].concatenate(num_outputs))
        return outputs

    def save_own_variables(self, store: Any) -> None:
        for k, value in enumerate([self.kernel] if self.bias is None else [self.kernel, self.bias]):
            store[str(k)] = value

    def load_own_variables(self, store: Any) -> None:
        expected = [self._shape] if self.bias is None else [self._shape, self.bias.shape]
        values = [store[str(k)] for k in range(len(store.keys()))]
        if [tuple(value.shape) for value in values] != [tuple(shape) for shape in expected]:
            raise ValueError(
                f"{self.name} has weights of shapes {expected}, but the file holds {[tuple(value.shape) for value in values]} "
                "for it: load the weights of a layer of the same sizes."
            )
        for kernel, block in zip(self._kernels, itertools.chain(*self._blocks)):
            kernel.assign(values[0][block.rows, block.columns])
        if self.bias is not None:
            self.bias.assign(values[1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_blocks": self.num_blocks}


class _Block(NamedTuple):
    """The blocks of rows first..last-1 within one block of columns; not masked where all is allowed."""

    first: int
    last: int
    rows: slice
    columns: slice
    is_masked: bool


def _concatenated(parts, axis):
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis)
