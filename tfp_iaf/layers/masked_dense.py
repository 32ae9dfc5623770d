"""A dense layer whose connections follow the degrees of its inputs and outputs."""

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import masks
from tfp_iaf._arguments import integer
from tfp_iaf.layers._masked_layer import MaskedLayer

__all__ = ["MaskedDense"]

# From this many inputs and outputs on, a product in blocks is faster than one with the whole kernel: 0.4-0.75 of the time,
# forward and backward, with XLA and without, on a CPU. Blocks of about 240 rows and columns were the fastest.
BLOCK_THRESHOLD = 256
BLOCK_SIZE = 240
LEAST_BLOCKS, MOST_BLOCKS = 4, 8


@keras.saving.register_keras_serializable("tfp_iaf")
class MaskedDense(MaskedLayer):
    """`x @ (kernel * mask) + bias`, with `mask = masks.degree_mask(in_degrees, out_degrees, strict)`.

    The mask acts in the forward pass, so whatever an optimizer, a norm clip or a load writes into the kernel, no
    forbidden connection can open (MADE, Germain et al. 2015, equation 9).

    The layer has one kernel `[I, O]`, in memory and in files. If it is large, and its degrees rise or fall along both axes, it
    is multiplied in blocks (`masks.kernel_blocks`): blocks without an allowed entry are left out, which are nearly half, and
    only those on the boundary are masked.

    Args:
        in_degrees: [I] integers, the degrees of the inputs.
        out_degrees: [O] integers, the degrees of the outputs.
        strict: whether an output reads only inputs of lower degree, or also of its own.
        use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, kernel_constraint,
            bias_constraint: as in `keras.layers.Dense`.
        num_blocks: into how many blocks to cut each axis of the kernel. It changes the speed, and neither weights nor files.
            None for 4 to 8 if both sizes are at least 256, otherwise 1. Unsorted degrees allow only 1.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Input shape: `[..., I]`. Output shape: `[..., O]`.

    Raises:
        ValueError: if `num_blocks` is no positive integer, more than O, or more than 1 for unsorted degrees.

    >>> layer = MaskedDense([1, 2, 3], [1, 2, 3], strict=True, kernel_initializer="ones")
    >>> layer(np.ones([1, 3], "float32")).numpy()
    array([[0., 1., 2.]], dtype=float32)
    """

    def __init__(self, in_degrees, out_degrees, strict=False, num_blocks=None, **kwargs):
        super().__init__(in_degrees=in_degrees, out_degrees=out_degrees, strict=strict, **kwargs)
        self.num_blocks = num_blocks
        self._mask = masks.degree_mask(self.in_degrees, self.out_degrees, strict).astype(np.float32)
        count = self._default_num_blocks() if num_blocks is None else integer("num_blocks", num_blocks)
        self._is_whole = count == 1
        if not self._is_whole:
            self._row_sizes, self._column_sizes = masks.kernel_blocks(self.in_degrees, self.out_degrees, count, strict)
            columns = np.split(self._mask, np.cumsum(self._column_sizes)[:-1], axis=1)
            # For each block of columns, the blocks of rows that it reads, and their masks: None where all is allowed.
            self._reads = [
                [(k, None if part.all() else part) for k, part in enumerate(parts) if part.any()]
                for parts in (np.split(column, np.cumsum(self._row_sizes)[:-1]) for column in columns)
            ]

    def _default_num_blocks(self):
        smaller = min(len(self.in_degrees), len(self.out_degrees))
        if smaller < BLOCK_THRESHOLD or not all(map(masks.is_monotone, (self.in_degrees, self.out_degrees))):
            return 1
        return min(max(smaller // BLOCK_SIZE, LEAST_BLOCKS), MOST_BLOCKS)

    @property
    def kernel(self):
        """The masked kernel, `[I, O]`."""
        kernel = tf.convert_to_tensor(self._kernel)
        return kernel * tf.constant(self._mask, kernel.dtype)

    def squared_norms(self, dtype):
        """The sum of squares of each column of `kernel`, `[O]`."""
        if self._is_whole:
            return tf.reduce_sum(tf.square(tf.cast(self.kernel, dtype)), axis=0)
        sums = [
            sum((tf.reduce_sum(tf.square(block), axis=0) for _, block in blocks), tf.zeros([size], dtype))
            for size, blocks in zip(self._column_sizes, self._masked_blocks(dtype))
        ]
        return tf.concat(sums, axis=0)

    def _masked_blocks(self, dtype):
        """For each block of columns, pairs (index of a block of rows that it reads, masked kernel of the two)."""
        kernel = tf.cast(tf.convert_to_tensor(self._kernel), dtype)
        # Split, not sliced: the gradient of a split is one concatenation, and that of slices a sum of padded tensors.
        grid = [tf.split(rows, self._column_sizes, axis=1) for rows in tf.split(kernel, self._row_sizes, axis=0)]
        return [
            [(k, grid[k][column] if mask is None else grid[k][column] * tf.constant(mask, dtype)) for k, mask in reads]
            for column, reads in enumerate(self._reads)
        ]

    def call(self, x):
        x = tf.convert_to_tensor(x)
        num_inputs, num_outputs = self._mask.shape
        # One leading axis: with more, TensorFlow would repeat the kernel for each leading index.
        rows = x if x.shape.rank == 2 else tf.reshape(x, [-1, num_inputs])
        if self._is_whole:
            outputs = tf.matmul(rows, tf.cast(self.kernel, x.dtype))
        else:
            pieces = tf.split(tf.ensure_shape(rows, [None, num_inputs]), self._row_sizes, axis=1)
            products = [[tf.matmul(pieces[k], block) for k, block in blocks] for blocks in self._masked_blocks(x.dtype)]
            outputs = tf.concat(
                [
                    tf.add_n(terms) if terms else tf.zeros([tf.shape(rows)[0], size], x.dtype)
                    for terms, size in zip(products, self._column_sizes)
                ],
                axis=1,
            )
        if x.shape.rank != 2:
            outputs = tf.reshape(outputs, tf.concat([tf.shape(x)[:-1], [num_outputs]], axis=0))
            outputs = tf.ensure_shape(outputs, x.shape[:-1].concatenate(num_outputs))
        return outputs if self.bias is None else outputs + tf.cast(tf.convert_to_tensor(self.bias), outputs.dtype)

    def get_config(self):
        return {**super().get_config(), "num_blocks": self.num_blocks}
