"""The inverse of a flow with a masked multilayer perceptron, for the price of a few evaluations.

An entry needs the hidden units of lower degrees, a hidden unit of degree d the entries up to d. So the entries are taken in
blocks, in the input order. What a block reads from the blocks before it is known, and is computed once. Inside, all units of
the block are evaluated at once until its entries settle: usually three or four times, and at most as often as the block has
entries. The gradient solves the transposed system, which has the same form in the reversed order.
"""

import functools

import numpy as np
import tensorflow as tf

from tfp_iaf.bijectors.inverses._cycle import Layer, solve_cycle
from tfp_iaf.bijectors.inverses.base import ImplicitInverse

__all__ = ["Blocks"]


class Blocks(ImplicitInverse):
    """Gauss-Seidel iteration over blocks of entries, Jacobi iteration inside a block.

    Reads the network layer by layer, through its `linear_maps`, `activation` and `skips`.

    Source: Song et al. 2021, "Accelerating feedforward computation via parallel nonlinear equation solving", section 3.
    """

    @classmethod
    def serves(cls, network):
        # It rounds as float32 and float64 do.
        return network.compute_dtype in ("float32", "float64")

    def evaluate(self, equation, y):
        with equation.weights():
            return equation.network.evaluate(y, context=equation.context)

    def solve(self, equation):
        network, z = equation.network, equation.z
        (size,) = network.event_shape
        batch_shape = tf.shape(z)[:-1]
        with equation.weights():
            linear_maps = network.linear_maps()
        context = None if equation.context is None else _as_rows(equation.context, batch_shape, network.context_size)

        def as_layer(linear_map, function):
            offset = tf.zeros([len(linear_map.out_degrees), 1], z.dtype)
            if linear_map.bias is not None:
                offset += linear_map.bias[:, tf.newaxis]
            if linear_map.context_kernel is not None:
                # Features first: transposing the product afterwards takes as long as the product.
                offset += tf.matmul(linear_map.context_kernel, context, transpose_a=True, transpose_b=True)
            matrix = tf.transpose(linear_map.kernel)
            return Layer(matrix, linear_map.out_degrees, linear_map.in_degrees, offset, None, function)

        def hidden(pre_activation, side, below, has_skip):
            del side
            value = network.activation(pre_activation)
            value = value + below if has_skip else value
            return value, value

        def close(parameters, z_entries):
            # Of n entries: parameters [n P, batch] -> [batch, n, P].
            parameters = tf.transpose(parameters)
            parameters = tf.reshape(parameters, [-1, z_entries.shape[0], network.params])
            return tf.transpose(equation.map.inverse(tf.transpose(z_entries), parameters)[0])

        functions = [functools.partial(hidden, has_skip=has_skip) for has_skip in network.skips]
        layers = [as_layer(*each) for each in zip(linear_maps, [*functions, _linear])]
        # Groups count from 0: the entry of degree k is in group k - 1, and reads units of degrees up to k - 1.
        layers[0] = layers[0]._replace(input_groups=network.degrees - 1)
        layers[-1] = layers[-1]._replace(groups=linear_maps[-1].out_degrees - 1)
        outputs = solve_cycle(layers, close, [(_features_first(z, size), network.degrees - 1)], size)
        parameters = tf.reshape(tf.transpose(outputs), tf.concat([batch_shape, [size, network.params]], axis=0))
        return equation.image(tf.ensure_shape(parameters, z.shape.concatenate(network.params)))

    def adjoint(self, equation, linearization, upstream):
        network = equation.network
        (size,) = network.event_shape
        params = network.params
        slopes = [_slope(network.activation, pre_activation) for pre_activation in linearization.details]
        # From the last layer to the first. Degrees count down: an entry of degree k is in group D - k, a unit in group
        # D - degree, and units of degree 0, which no entry reaches, in none.
        with equation.weights():
            linear_maps = network.linear_maps()[::-1]

        def hidden(pre_activation, slope, below, has_skip):
            total = pre_activation + below if has_skip else pre_activation
            return total * slope, total

        def close(total, upstream_entries, slopes_of_entries):
            # Of n entries: totals [n, batch] and slopes [n P, batch] -> [n P, batch].
            shape = [total.shape[0], params, -1]
            return tf.reshape(
                (upstream_entries + total)[:, tf.newaxis] * tf.reshape(slopes_of_entries, shape), [shape[0] * params, -1]
            )

        # The skip that leads from the units of layer l past layer l + 1, whose adjoint is computed just before.
        skips = [False, *network.skips[:0:-1]]
        functions = [functools.partial(hidden, has_skip=has_skip) for has_skip in skips[: len(slopes)]]
        sides = [_features_first(slope, len(each.in_degrees)) for slope, each in zip(slopes[::-1], linear_maps)] + [None]
        layers = [
            Layer(
                matrix=each.kernel,
                groups=size - each.in_degrees,
                input_groups=size - each.out_degrees,
                offset=tf.zeros([len(each.in_degrees), 1], upstream.dtype),
                side=side,
                function=function,
            )
            for each, side, function in zip(linear_maps, sides, [*functions, _linear])
        ]
        sides_of_entries = [
            (_features_first(upstream, size), size - network.degrees),
            (_features_first(linearization.parameter_slopes(), size * params), size - np.repeat(network.degrees, params)),
        ]
        # Of every row: another one may be huge, or no number.
        scale = tf.reduce_max(tf.abs(sides_of_entries[0][0]), axis=0, keepdims=True)
        total = solve_cycle(layers, close, sides_of_entries, size, scale)
        return upstream + tf.reshape(tf.transpose(total), tf.shape(upstream))


def _linear(pre_activation, side, below):
    del side, below
    return pre_activation, None


def _as_rows(context, batch_shape, size):
    """`[..., C]`, broadcast to the batch shape, as `[batch, C]`."""
    return tf.reshape(tf.broadcast_to(context, tf.concat([batch_shape, [size]], axis=0)), [-1, size])


def _features_first(x, size):
    """`[..., n]` or `[..., D, P]` of this size in all -> `[size, batch]`."""
    return tf.transpose(tf.reshape(x, [-1, size]))


def _slope(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return tape.gradient(value, x)
