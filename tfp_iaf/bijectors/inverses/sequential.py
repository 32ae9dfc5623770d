"""The inverse entry by entry: D evaluations of the network, the reference for the fast ones."""

from __future__ import annotations

import tensorflow as tf

from tfp_iaf.bijectors.inverses.base import Equation, Inverse

__all__ = ["Sequential"]


class Sequential(Inverse):
    """Evaluates y <- g(y) D times, each time taking one more entry in the input order; the others stay zero.

    Gradients of any order go through the loop.
    """

    def __call__(self, equation: Equation) -> tuple[tf.Tensor, tf.Tensor]:
        degrees = tf.constant(equation.network.degrees, tf.int32)

        def body(position, y):
            image, _ = equation.map.inverse(equation.z, equation.parameters_at(y))
            return position + 1, tf.where(tf.equal(degrees, position), image, y)

        size = degrees.shape.num_elements()
        start = (1, tf.zeros_like(equation.z))
        _, y = tf.while_loop(lambda position, _: position <= size, body, start, maximum_iterations=size)
        _, log_det = equation.image(equation.parameters_at(y))
        return y, log_det
