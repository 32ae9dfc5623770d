"""The inverse of a flow with a recurrent network, at the cost of one evaluation of the network."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfp_iaf.bijectors.inverses.base import Equation, Inverse
from tfp_iaf.networks import Network

__all__ = ["Recurrent"]


class Recurrent(Inverse):
    """Solves for each entry as its parameters appear, and feeds it to the cell for the next.

    The state that gives an entry's parameters has read the entries before it, and no others.

    Gradients, of any order, go through the loop: an implicit gradient would need the adjoint of the recurrence, which is the
    derivative of this very loop.
    """

    @classmethod
    def serves(cls, network: Network) -> bool:
        return network.compute_dtype in ("float32", "float64")

    def __call__(self, equation: Equation) -> tuple[tf.Tensor, tf.Tensor]:
        network, z, context = equation.network, equation.z, equation.context
        (size,) = network.event_shape
        rows = tf.reshape(z, [-1, size])
        if rows.shape[0] == 0:
            # Keras's cells fail on empty batches. Any y of z's shape is the solution.
            return equation.image(equation.parameters_at(z))
        batch_size = tf.shape(rows)[0] if rows.shape[0] is None else rows.shape[0]
        if context is not None:
            context = tf.broadcast_to(context, tf.concat([tf.shape(z)[:-1], [network.context_size]], axis=0))
            context = tf.reshape(context, [-1, network.context_size])
        in_order = tf.gather(tf.transpose(rows), np.argsort(network.degrees))[:, :, tf.newaxis]
        entries = tf.TensorArray(z.dtype, size, element_shape=in_order.shape[1:]).unstack(in_order)

        def body(k, state, previous, log_det, solved):
            parameters, state = network.advance(previous, context, state)
            # One entry of every row: z [B, 1] and parameters [B, 1, P].
            parameters = tf.cast(parameters, z.dtype)[:, tf.newaxis]
            entry, log_derivative = equation.map.inverse(entries.read(k), parameters)
            entry, log_derivative = (tf.ensure_shape(value, previous.shape) for value in (entry, log_derivative))
            return k + 1, state, entry, log_det + log_derivative, solved.write(k, entry)

        zeros = tf.zeros([batch_size, 1], z.dtype)
        solved = tf.TensorArray(z.dtype, size, element_shape=in_order.shape[1:])
        with equation.weights():
            start = (0, network.initial_state(batch_size), zeros, zeros, solved)
            *_, log_det, solved = tf.while_loop(lambda k, *_: k < size, body, start, maximum_iterations=size)
        y = tf.transpose(tf.gather(solved.stack()[:, :, 0], network.degrees - 1))
        y, log_det = tf.reshape(y, tf.shape(z)), tf.reshape(log_det, tf.shape(z)[:-1])
        return tf.ensure_shape(y, z.shape), tf.ensure_shape(log_det, z.shape[:-1])
