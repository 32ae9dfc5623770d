"""The product of a batch with a kernel that is kept in column blocks, each reading a prefix of the inputs."""

import tensorflow as tf

__all__ = ["block_product"]


def block_product(x, kernels, blocks):
    """x @ kernel, where the kernel's columns `start:stop` are `kernels[k]` in their first `num_inputs` rows, zero below.

    No product and no gradient touches the zero rows, and the whole kernel is never built. The inputs are split once and the
    prefixes joined from the parts, since the gradients of that are sums of parts: the gradient of a slice would be padded
    to the full width.

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
    ends = sorted({x.shape[1], *(block.num_inputs for block in blocks)})
    parts = tf.split(x, [end - start for start, end in zip([0, *ends], ends)], axis=1)
    prefixes = (tf.concat(parts[: ends.index(block.num_inputs) + 1], axis=1) for block in blocks)
    return tf.concat([tf.matmul(prefix, kernel) for prefix, kernel in zip(prefixes, kernels)], axis=1)
