"""The inverse of a flow with a masked multilayer perceptron, at the cost of a few evaluations of the network.

An entry needs the hidden units of lower degrees, a hidden unit of degree d the entries up to d. So the entries are taken in
blocks, in the input order. What a block reads from the blocks before it is known, and is computed once. Inside, all units of
the block are evaluated at once until its entries settle: usually three or four times, and at most as often as the block has
entries. The gradient solves the transposed system, which has the same form in the reversed order.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_iaf.bijectors.inverses._cycle import Layer, solve_cycle
from tfp_iaf.bijectors.inverses.base import Equation
from tfp_iaf.bijectors.inverses.fixed_point import row_scale, search_scale
from tfp_iaf.bijectors.inverses.implicit import ImplicitInverse, Linearization
from tfp_iaf.networks import Network

__all__ = ["Blocks"]


class Blocks(ImplicitInverse):
    """Gauss-Seidel iteration over blocks of entries, Jacobi iteration inside a block.

    Reads the network layer by layer, through its `linear_maps`, `activation` and `skips`.

    Source: Song et al. 2021, "Accelerating feedforward computation via parallel nonlinear equation solving", section 3.
    """

    @classmethod
    def serves(cls, network: Network) -> bool:
        # It rounds as float32 and float64 do.
        return network.compute_dtype in ("float32", "float64")

    def evaluate(self, equation: Equation, y: tf.Tensor) -> tuple[tf.Tensor, Any]:
        with equation.weights():
            return equation.network.evaluate(y, context=equation.context)

    def solve(self, equation: Equation) -> tuple[tf.Tensor, tf.Tensor]:
        network, z = equation.network, equation.z
        (size,) = network.event_shape
        batch_shape = tf.shape(z)[:-1]
        with equation.weights():
            linear_maps = network.linear_maps()
        context = equation.context
        if context is not None:
            context = tf.broadcast_to(context, tf.concat([batch_shape, [network.context_size]], axis=0))
            context = _as_rows(context, network.context_size)

        def as_layer(linear_map, function):
            offset = tf.zeros([1, len(linear_map.out_degrees)], z.dtype)
            if linear_map.bias is not None:
                offset += linear_map.bias
            if linear_map.context_kernel is not None:
                offset += tf.matmul(context, linear_map.context_kernel)
            return Layer(linear_map.kernel, False, linear_map.out_degrees, linear_map.in_degrees, offset, None, function)

        def hidden(pre_activation, side, below, has_skip):
            del side
            value = network.activation(pre_activation)
            value = value + below if has_skip else value
            return value, value

        def close(parameters, before, z_entries):
            # The parameters of n entries are [batch, n P].
            parameters = tf.reshape(parameters, [-1, z_entries.shape[1], network.params])
            return equation.map.inverse_near(z_entries, parameters, before)

        functions = [functools.partial(hidden, has_skip=has_skip) for has_skip in network.skips]
        layers = [as_layer(*each) for each in zip(linear_maps, [*functions, _linear])]
        # Groups count from 0: the entry of degree k is in group k - 1, and reads units of degrees up to k - 1.
        layers[0] = layers[0]._replace(input_groups=network.degrees - 1)
        layers[-1] = layers[-1]._replace(groups=linear_maps[-1].out_degrees - 1)
        rows = _as_rows(z, size)
        outputs = solve_cycle(layers, close, [(rows, network.degrees - 1)], size, search_scale(rows, 1))
        parameters = tf.reshape(outputs, tf.concat([batch_shape, [size, network.params]], axis=0))
        return equation.image(tf.ensure_shape(parameters, z.shape.concatenate(network.params)))

    def adjoint(self, equation: Equation, linearization: Linearization, by_y: tf.Tensor, by_parameters: tf.Tensor) -> tf.Tensor:
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

        def close(total, before, by_entries, slopes_of_entries, by_parameters_of_entries):
            # For n entries: totals [batch, n] and slopes [batch, n P] -> [batch, n P].
            del before
            (count,) = total.shape[1:]
            slopes = tf.reshape(slopes_of_entries, [-1, count, params])
            through_image = tf.reshape((by_entries + total)[..., tf.newaxis] * slopes, [-1, count * params])
            return through_image + by_parameters_of_entries

        # The skip that leads from the units of layer l past layer l + 1, whose adjoint is computed just before.
        skips = [False, *network.skips[:0:-1]]
        functions = [functools.partial(hidden, has_skip=has_skip) for has_skip in skips[: len(slopes)]] + [_linear]
        sides = [_as_rows(slope, len(each.in_degrees)) for slope, each in zip(slopes[::-1], linear_maps)] + [None]
        layers = [
            Layer(
                matrix=each.kernel,
                is_transposed=True,
                groups=size - each.in_degrees,
                input_groups=size - each.out_degrees,
                offset=tf.zeros([1, len(each.in_degrees)], by_y.dtype),
                side=side,
                function=function,
            )
            for each, side, function in zip(linear_maps, sides, functions)
        ]
        groups = size - network.degrees
        groups_of_parameters = np.repeat(groups, params)
        sides_of_entries = [
            (_as_rows(by_y, size), groups),
            (_as_rows(linearization.parameter_slopes, size * params), groups_of_parameters),
            (_as_rows(by_parameters, size * params), groups_of_parameters),
        ]
        scale = sum(row_scale(sides_of_entries[k][0], 1) for k in (0, 2))
        total = solve_cycle(layers, close, sides_of_entries, size, scale)
        return by_y + tf.reshape(total, tf.shape(by_y))


def _linear(pre_activation, side, below):
    del side, below
    return pre_activation, None


def _as_rows(x, size):
    """`[..., n]` or `[..., D, P]` of this size in all -> `[batch, size]`."""
    return tf.reshape(x, [-1, size])


def _slope(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return tape.gradient(value, x)
