"""The product of a batch with a kernel of which only some blocks are kept."""

import itertools

import tensorflow as tf

from tfp_iaf._compat.custom_gradient import custom_gradient

__all__ = ["assemble", "block_product", "sum_of_parts"]


def block_product(x, kernels, blocks, num_outputs):
    """x @ kernel, where the kernel is `kernels[k]` in `blocks[k]`, and zero outside of all blocks.

    No product and no gradient touches those zeros, and the whole kernel is never built. The gradient is written out:
    TensorFlow's own would pad every block's to the full width and add them up.

    Args:
        x: `[B, I]`.
        kernels: a list of tensors of the blocks' shapes.
        blocks: a list of `masks.KernelBlock`.
        num_outputs: O.

    Returns:
        `[B, O]`.

    >>> from tfp_iaf.masks import KernelBlock
    >>> blocks = [KernelBlock((0, 1), (0, 2)), KernelBlock((1, 2), (1, 2))]
    >>> block_product(tf.constant([[1.0, 10.0]]), [tf.ones([1, 2]), tf.ones([1, 1])], blocks, num_outputs=2).numpy()
    array([[ 1., 11.]], dtype=float32)
    """
    rows, columns = [block.rows for block in blocks], [block.columns for block in blocks]

    @custom_gradient
    def product(x, *kernels):
        inputs = _slices(x, rows)

        def gradient(upstream):
            parts = _slices(upstream, columns)
            by_kernels = [tf.matmul(rows_of_x, part, transpose_a=True) for rows_of_x, part in zip(inputs, parts)]
            by_inputs = [tf.matmul(part, kernel, transpose_b=True) for part, kernel in zip(parts, kernels)]
            return sum_of_parts(by_inputs, rows, x.shape[1], x), *by_kernels

        outputs = [tf.matmul(*pair) for pair in zip(inputs, kernels)]
        return sum_of_parts(outputs, columns, num_outputs, x), gradient

    return product(x, *kernels)


def assemble(kernels, blocks, shape, dtype):
    """The whole kernel, `[I, O]`; arguments as of `block_product`. The blocks are disjoint.

    >>> from tfp_iaf.masks import KernelBlock
    >>> blocks = [KernelBlock((0, 1), (0, 2)), KernelBlock((1, 2), (1, 2))]
    >>> assemble([tf.ones([1, 2]), tf.ones([1, 1])], blocks, (2, 2), tf.float32).numpy()
    array([[1., 1.],
           [0., 1.]], dtype=float32)
    """
    num_inputs, num_outputs = shape
    edges = sorted({0, num_outputs, *itertools.chain.from_iterable(block.columns for block in blocks)})
    segments = []
    for start, stop in itertools.pairwise(edges):
        pieces, row = [], 0
        for kernel, (rows, columns) in sorted(zip(kernels, blocks), key=lambda pair: pair[1].rows):
            if columns[0] <= start and stop <= columns[1]:
                pieces += [tf.zeros([rows[0] - row, stop - start], dtype), kernel[:, start - columns[0] : stop - columns[0]]]
                row = rows[1]
        segments.append(tf.concat([*pieces, tf.zeros([num_inputs - row, stop - start], dtype)], axis=0))
    return tf.concat(segments, axis=1)


def sum_of_parts(parts, spans, width, like):
    """The sum of the parts, each of which is placed at its span of columns: segment by segment, so that each is read once.

    Args:
        parts: a list of tensors `[B, stop - start]`.
        spans: a list of (start, stop), in the order of the parts.
        width: O.
        like: a tensor `[B, ...]`, of which columns without part take the batch and the dtype.

    Returns:
        `[B, O]`.

    >>> sum_of_parts([tf.ones([1, 2]), tf.ones([1, 2])], [(0, 2), (1, 3)], 4, tf.ones([1])).numpy()
    array([[1., 2., 1., 0.]], dtype=float32)
    """
    edges = sorted({0, width, *itertools.chain(*spans)})
    segments = []
    for start, stop in itertools.pairwise(edges):
        here = [part[:, start - a : stop - a] for part, (a, b) in zip(parts, spans) if a <= start and stop <= b]
        segments.append(tf.add_n(here) if here else tf.zeros([tf.shape(like)[0], stop - start], like.dtype))
    return tf.concat(segments, axis=1)


def _slices(x, spans):
    return [x[:, start:stop] for start, stop in spans]
