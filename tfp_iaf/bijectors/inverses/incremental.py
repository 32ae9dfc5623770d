"""The exact inverse of a step with a masked multilayer perceptron, for the price of a few evaluations.

An entry needs the hidden units of lower degrees, a hidden unit of degree d the entries up to d. So entry and units come to be
known alternately, each once: about one pass over the allowed weights, where D evaluations of the network would take D.
The gradient solves the transposed system, which has the same form in the reversed order.
"""

import functools

import numpy as np
import tensorflow as tf

from tfp_iaf.bijectors.inverses import staircase

__all__ = ["adjoint", "evaluate", "solve"]


def evaluate(equation, y):
    """(parameters, pre-activations of the hidden layers) at y."""
    return equation.evaluate(y)


def solve(equation):
    """y with y = g(y), and log|det dz/dy|."""
    network, z = equation.network, equation.z
    size, params = network.event_size, network.params
    batch_shape = tf.shape(z)[:-1]
    with equation.weights():
        linear_maps = network.linear_maps()
    # The context enters the first layer (which is the output layer if there is no other).
    injected = [_context_term(equation, batch_shape), *(None for _ in linear_maps[1:])]

    def as_stage(linear_map, term, function):
        kernel, bias, in_degrees, out_degrees = linear_map
        offset = tf.zeros([len(out_degrees), 1], z.dtype)
        if bias is not None:
            offset += bias[:, tf.newaxis]
        if term is not None:
            offset += term
        return staircase.Layer(tf.transpose(kernel), out_degrees, in_degrees, offset, None, function)

    def hidden(pre_activation, side, below, has_skip):
        del side
        value = network.activation(pre_activation)
        value = value + below if has_skip else value
        return value, value

    def output(pre_activation, side, below):
        del side, below
        return pre_activation, None

    def close(parameters, z_entry):
        # One entry of every row of the batch: [P, batch] -> [batch, 1, P].
        parameters = tf.transpose(parameters)[:, tf.newaxis, :]
        return tf.transpose(equation.map.inverse(tf.transpose(z_entry), parameters)[0])

    functions = [functools.partial(hidden, has_skip=has_skip) for has_skip in network.skips]
    stages = [as_stage(*each) for each in zip(linear_maps, injected, [*functions, output])]
    # Groups count from 0: entry k is in group k - 1, where the units of degree k - 1 become known just before it.
    stages[0] = stages[0]._replace(input_groups=network.degrees - 1)
    stages[-1] = stages[-1]._replace(groups=linear_maps[-1].out_degrees - 1)
    outputs = staircase.solve(stages, close, [(_features_first(z, size), network.degrees - 1)], size)
    parameters = tf.reshape(tf.transpose(outputs), tf.concat([batch_shape, [size, params]], axis=0))
    y, log_derivative = equation.map.inverse(z, parameters)
    return y, tf.reduce_sum(log_derivative, axis=-1)


def adjoint(equation, linearization, upstream):
    """u with u = upstream + (dg/dy)' u, for `upstream` of y's shape."""
    network = equation.network
    size, params = network.event_size, network.params
    slopes = [_slope(network.activation, pre_activation) for pre_activation in linearization.pre_activations]

    def hidden(pre_activation, slope, below, has_skip):
        total = pre_activation + below if has_skip else pre_activation
        return total * slope, total

    def entries(pre_activation, side, below):
        del side, below
        return pre_activation, None

    def close(total, upstream_entry, slopes_entry):
        return (upstream_entry + total) * slopes_entry

    # From the last layer to the first. Degrees count down: an entry is in group D - k, a unit in group D - degree, and units
    # of degree 0, which no entry reaches, in none.
    with equation.weights():
        linear_maps = network.linear_maps()[::-1]
    # The skip that leads from the units of layer l past layer l + 1, whose adjoint is computed just before.
    skips = [False, *network.skips[:0:-1]]
    functions = [functools.partial(hidden, has_skip=has_skip) for has_skip in skips[: len(slopes)]]
    sides = [_features_first(slope, len(each.in_degrees)) for slope, each in zip(slopes[::-1], linear_maps)] + [None]
    stages = [
        staircase.Layer(
            matrix=kernel,
            groups=size - in_degrees,
            input_groups=size - out_degrees,
            offset=tf.zeros([len(in_degrees), 1], upstream.dtype),
            side=side,
            function=function,
        )
        for (kernel, _, in_degrees, out_degrees), side, function in zip(linear_maps, sides, [*functions, entries])
    ]
    sides_of_entries = [
        (_features_first(upstream, size), size - network.degrees),
        (_features_first(linearization.parameter_slopes(), size * params), size - np.repeat(network.degrees, params)),
    ]
    total = staircase.solve(stages, close, sides_of_entries, size)
    return upstream + tf.reshape(tf.transpose(total), tf.shape(upstream))


def _context_term(equation, batch_shape):
    """What the context adds to the first layer, `[units, batch]`; None without context."""
    if equation.context is None:
        return None
    context = equation.context
    with equation.weights():
        kernel = tf.convert_to_tensor(equation.network.context_kernel)
    size, units = kernel.shape
    # As the network's `context_term`, but features first: transposing that afterwards takes as long as the product.
    term = tf.matmul(kernel, tf.reshape(context, [-1, size]), transpose_a=True, transpose_b=True)
    context_batch = tf.shape(context)[:-1]
    ones = tf.ones([tf.size(batch_shape) - tf.size(context_batch)], tf.int32)
    term = tf.reshape(term, tf.concat([[units], ones, context_batch], axis=0))
    return tf.reshape(tf.broadcast_to(term, tf.concat([[units], batch_shape], axis=0)), [units, -1])


def _features_first(x, size):
    """`[..., n]` or `[..., D, P]` of this size in all -> `[size, batch]`."""
    return tf.transpose(tf.reshape(x, [-1, size]))


def _slope(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return tape.gradient(value, x)
