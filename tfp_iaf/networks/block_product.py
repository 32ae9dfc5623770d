"""The product of a batch with a kernel that is kept in column blocks, each reading a prefix of the inputs."""

import itertools

import tensorflow as tf

from tfp_iaf.networks.custom_gradient import custom_gradient

__all__ = ["block_product"]


def block_product(x, kernels, blocks):
    """x @ kernel, where the kernel's columns `start:stop` are `kernels[k]` in their first `num_inputs` rows, zero below.

    No product and no gradient touches the zero rows, and the whole kernel is never built. The gradient is written out:
    TensorFlow's own would pad every block's to the full width and add them up.

    Args:
        x: `[B, I]`.
        kernels: a list of `[num_inputs, stop - start]`.
        blocks: a list of `masks.ColumnBlock`, their prefixes growing.

    Returns:
        `[B, O]`.

    >>> from tfp_iaf.masks import ColumnBlock
    >>> blocks = [ColumnBlock(0, 1, num_inputs=1), ColumnBlock(1, 2, num_inputs=2)]
    >>> block_product(tf.constant([[1.0, 10.0]]), [tf.ones([1, 1]), tf.ones([2, 1])], blocks).numpy()
    array([[ 1., 11.]], dtype=float32)
    """

    @custom_gradient
    def product(x, *kernels):
        prefixes = [x[:, : block.num_inputs] for block in blocks]

        def gradient(upstream):
            parts = [upstream[:, block.start : block.stop] for block in blocks]
            by_kernels = [tf.matmul(prefix, part, transpose_a=True) for prefix, part in zip(prefixes, parts)]
            by_prefixes = [tf.matmul(part, kernel, transpose_b=True) for part, kernel in zip(parts, kernels)]
            return _sum_of_prefixes(by_prefixes, x), *by_kernels

        return tf.concat([tf.matmul(*pair) for pair in zip(prefixes, kernels)], axis=1), gradient

    return product(x, *kernels)


def _sum_of_prefixes(values, x):
    """The sum of `[B, num_inputs]` values as if padded to x's width, segment by segment, so that each is read once."""
    ends = sorted({value.shape[1] for value in values})
    segments = [
        tf.add_n([value[:, start:end] for value in values if value.shape[1] >= end])
        for start, end in itertools.pairwise([0, *ends])
    ]
    if ends[-1] < x.shape[1]:
        segments.append(tf.zeros_like(x[:, ends[-1] :]))
    return tf.concat(segments, axis=1)
