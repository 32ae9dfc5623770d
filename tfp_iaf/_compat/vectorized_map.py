"""Whether operations are traced for `tf.vectorized_map`."""

import re

import tensorflow as tf

__all__ = ["in_vectorized_map"]


def in_vectorized_map():
    """Whether operations are traced for `tf.vectorized_map` here, or for an auto-batched joint distribution, which uses it.

    It copies the operations of one row for all rows, and leaves out gradients that were given to them by `tf.custom_gradient`.

    >>> seen = []
    >>> doubled = tf.vectorized_map(lambda x: seen.append(in_vectorized_map()) or 2.0 * x, tf.ones([3]))
    >>> seen[0], in_vectorized_map()
    (True, False)
    """
    if tf.executing_eagerly():
        return False
    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        # The name scope that TensorFlow traces the row in.
        if any(re.fullmatch(r"loop_body(_\d+)?", name) for name in graph.get_name_scope().split("/")):
            return True
        graph = getattr(graph, "outer_graph", None)
    return False
