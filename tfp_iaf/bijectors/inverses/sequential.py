"""The inverse entry by entry: D evaluations of the network, the reference for the fast ones."""

import tensorflow as tf

__all__ = ["iterate"]


def iterate(step, z, degrees):
    """Evaluates y <- step(y) D times, each time taking one more entry in the input order; the others stay zero.

    Gradients of any order go through the loop. Arguments and result as in `fixed_point.iterate`.
    """
    degrees = tf.constant(degrees, tf.int32)

    def body(position, y):
        return position + 1, tf.where(tf.equal(degrees, position), step(y), y)

    size = degrees.shape.num_elements()
    _, y = tf.while_loop(lambda position, _: position <= size, body, (1, tf.zeros_like(z)), maximum_iterations=size)
    return y
