"""A dense layer whose connections follow the degrees of its inputs and outputs."""

import functools

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import masks
from tfp_iaf._arguments import integer
from tfp_iaf.layers._block_product import assemble, block_product, sum_of_parts
from tfp_iaf.layers._checkpointed import Checkpointed
from tfp_iaf.layers._masked_layer import MaskedLayer

__all__ = ["MaskedDense"]

# From this many inputs and outputs on, four blocks on the staircase (seven in all) are faster than one kernel: 0.6-0.9 of the
# time, measured forward and backward, with XLA and without, on a CPU. Saved files depend on the rule: do not change it.
BLOCK_THRESHOLD = 256
NUM_BLOCKS = 4


@keras.saving.register_keras_serializable("tfp_iaf")
class MaskedDense(MaskedLayer):
    """`x @ (kernel * mask) + bias`, with `mask = masks.degree_mask(in_degrees, out_degrees, strict)`.

    The mask acts in the forward pass, so whatever an optimizer, a norm clip or a load writes into the kernel, no
    forbidden connection can open (MADE, Germain et al. 2015, equation 9).

    A large kernel is kept and multiplied in blocks, see `masks.kernel_blocks`. That saves three eighths of the work, of the
    memory, and of the optimizer's.

    Args:
        in_degrees: [I] integers, the degrees of the inputs.
        out_degrees: [O] integers, the degrees of the outputs.
        strict: whether an output reads only inputs of lower degree, or also of its own.
        use_bias, kernel_initializer, bias_initializer, kernel_regularizer: as in `keras.layers.Dense`. Every block
            is cut from the whole kernel that the initializer draws; a regularizer sees one block at a time.
        num_blocks: number of blocks on the staircase; None for 4 if both sizes are at least 256, otherwise 1.

    Input shape: `[..., I]`. Output shape: `[..., O]`.

    Raises:
        ValueError: if `num_blocks` is no positive integer, or more than O.

    >>> layer = MaskedDense([1, 2, 3], [1, 2, 3], strict=True, kernel_initializer="ones")
    >>> layer(np.ones([1, 3], "float32")).numpy()
    array([[0., 1., 2.]], dtype=float32)
    """

    def __init__(
        self,
        in_degrees,
        out_degrees,
        strict=False,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        num_blocks=None,
        **kwargs,
    ):
        super().__init__(
            in_degrees,
            out_degrees,
            strict,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            **kwargs,
        )
        self.num_blocks = num_blocks
        self._make_blocks()

    def _make_blocks(self):
        sizes = len(self.in_degrees), len(self.out_degrees)
        count = self.num_blocks
        if count is None:
            count = NUM_BLOCKS if min(sizes) >= BLOCK_THRESHOLD else 1
        self._is_whole = integer("num_blocks", count) == 1
        if self._is_whole:
            # One kernel needs no sorting.
            self._in_order, self._out_order = map(np.arange, sizes)
            self.blocks = [masks.KernelBlock((0, sizes[0]), (0, sizes[1]))]
        else:
            self._in_order, self._out_order = (np.argsort(d, kind="stable") for d in (self.in_degrees, self.out_degrees))
            self.blocks = masks.kernel_blocks(
                self.in_degrees[self._in_order], self.out_degrees[self._out_order], count, self.strict
            )
        mask = masks.degree_mask(self.in_degrees[self._in_order], self.out_degrees[self._out_order], self.strict)
        parts = [mask[slice(*block.rows), slice(*block.columns)] for block in self.blocks]
        # Most of the entries lie in blocks without a forbidden one: those have no mask.
        self._masks = [None if part.all() else part.astype(np.float32) for part in parts]

    def build(self, input_shape=None):
        self.kernels = [
            self.add_variable(
                name="kernel" if self._is_whole else f"kernel_{k}",
                shape=(block.rows[1] - block.rows[0], block.columns[1] - block.columns[0]),
                initializer=functools.partial(self._initial_block, k),
                regularizer=self.kernel_regularizer,
            )
            for k, block in enumerate(self.blocks)
        ]
        super().build(input_shape)
        self._checkpointed = Checkpointed(self)

    def _initial_block(self, k, shape, dtype=None):
        # The initializer's fans are those of the whole kernel. Forbidden entries start at zero and get no gradient:
        # regularizers and weight decay then leave them out.
        whole = self.kernel_initializer((len(self.in_degrees), len(self.out_degrees)), dtype=dtype)
        part = keras.ops.take(whole, self._in_order[slice(*self.blocks[k].rows)], axis=0)
        part = keras.ops.take(part, self._out_order[slice(*self.blocks[k].columns)], axis=1)
        return part if self._masks[k] is None else part * keras.ops.cast(self._masks[k], dtype)

    def _masked_kernels(self, dtype):
        kernels = [tf.cast(tf.convert_to_tensor(kernel), dtype) for kernel in self.kernels]
        return [
            kernel if mask is None else kernel * tf.constant(mask, kernel.dtype) for kernel, mask in zip(kernels, self._masks)
        ]

    @property
    def kernel(self):
        """The masked kernel as one tensor, `[I, O]`."""
        kernels = self._masked_kernels(self.variable_dtype)
        if self._is_whole:
            return kernels[0]
        whole = assemble(kernels, self.blocks, (len(self.in_degrees), len(self.out_degrees)), self.variable_dtype)
        whole = _reordered(whole, np.argsort(self._in_order), axis=0)
        return _reordered(whole, np.argsort(self._out_order), axis=1)

    def squared_norms(self, dtype):
        """Of each column of `kernel`, without building that, `[O]`."""
        parts = [tf.reduce_sum(tf.square(part), axis=0, keepdims=True) for part in self._masked_kernels(dtype)]
        sums = sum_of_parts(parts, [block.columns for block in self.blocks], len(self.out_degrees), tf.zeros([1], dtype))
        return _reordered(sums, np.argsort(self._out_order), axis=1)[0]

    def product(self, x):
        kernels = self._masked_kernels(x.dtype)
        if self._is_whole:
            return tf.matmul(x, kernels[0])
        outputs = block_product(_reordered(x, self._in_order, axis=1), kernels, self.blocks, len(self.out_degrees))
        return _reordered(outputs, np.argsort(self._out_order), axis=1)

    def get_config(self):
        return {**super().get_config(), "num_blocks": self.num_blocks}


def _reordered(x, order, axis):
    return x if np.array_equal(order, np.arange(len(order))) else tf.gather(x, order, axis=axis)
