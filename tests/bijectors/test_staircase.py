import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf.bijectors.inverses import staircase


def naive(layers, close, close_sides, num_groups):
    """Unit by unit: `layers` is a list of (matrix, groups, input_groups, offset), all with tanh."""
    (side, side_groups), batch_size = close_sides[0], close_sides[0][0].shape[1]
    inputs = [np.zeros([len(layer[2]), batch_size]) for layer in layers]
    last = np.zeros([len(layers[-1][1]), batch_size])
    for group in range(num_groups):
        for number, (matrix, groups, _, offset) in enumerate(layers):
            values = inputs[number + 1] if number + 1 < len(layers) else last
            for unit in np.flatnonzero(groups == group):
                values[unit] = np.tanh(matrix[unit] @ inputs[number] + offset[unit])
        here = np.flatnonzero(layers[0][2] == group)
        inputs[0][here] = close(last[layers[-1][1] == group], side[side_groups == group])
    return last


@pytest.mark.parametrize("num_groups", [1, 2, 3, 7, 16, 40])
@pytest.mark.parametrize("widths", [(), (40,), (23, 90)], ids=str)
def test_equals_the_naive_loop(num_groups, widths):
    rng = np.random.default_rng(0)
    order = rng.permutation(num_groups)
    # Some groups have several units, some none; groups of -1 and of `num_groups` are left out.
    groups = [order, *(np.sort(rng.integers(-1, num_groups + 1, size=width)) for width in widths), np.repeat(order, 2)]
    plain = []
    for number, (before, after) in enumerate(itertools.pairwise(groups)):
        reads = after[:, None] > before if number == 0 else after[:, None] >= before
        reads &= (before >= 0) & (before < num_groups)
        plain.append((rng.normal(size=reads.shape) * reads, after, before, rng.normal(size=[len(after), 1])))
    sides = [(rng.normal(size=[num_groups, 5]), order)]
    layers = [
        staircase.Layer(tf.constant(matrix), after, before, tf.constant(offset), None, lambda x, *_: (tf.tanh(x), None))
        for matrix, after, before, offset in plain
    ]

    def close(total, side):
        return total[:1] * total[1:] + side

    expected = naive(plain, close, sides, num_groups)
    close_sides = [(tf.constant(side), groups) for side, groups in sides]

    def solve():
        return staircase.solve(layers, close, close_sides, num_groups)

    for mode in (solve, tf.function(solve), tf.function(solve, jit_compile=True)):
        np.testing.assert_allclose(mode(), expected, atol=1e-12)


def test_every_unit_is_computed_once():
    computed = []

    def function(x, *_):
        computed.append(x.shape[0])
        return x, None

    groups = np.arange(16)
    eye = tf.eye(16)
    strict = tf.linalg.diag(tf.ones([15]), k=-1)
    layers = [staircase.Layer(matrix, groups, groups, tf.zeros([16, 1]), None, function) for matrix in (strict, eye, eye)]
    staircase.solve(layers, lambda total, side: total + side, [(tf.ones([16, 2]), groups)], 16)
    assert computed == [1] * 16 * len(layers)
