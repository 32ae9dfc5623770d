"""The solver behind the inverse in blocks and its adjoint, on plain arrays."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf.bijectors.inverses import _cycle


def naive(layers, close, close_sides, num_groups):
    """Unit by unit: `layers` is a list of (matrix, groups, input_groups, offset), all with tanh."""
    (side, side_groups), batch_size = close_sides[0], close_sides[0][0].shape[0]
    inputs = [np.zeros([batch_size, len(layer[2])]) for layer in layers]
    last = np.zeros([batch_size, len(layers[-1][1])])
    for group in range(num_groups):
        for number, (matrix, groups, _, offset) in enumerate(layers):
            values = inputs[number + 1] if number + 1 < len(layers) else last
            for unit in np.flatnonzero(groups == group):
                values[:, unit] = np.tanh(inputs[number] @ matrix[:, unit] + offset[:, unit])
        here = np.flatnonzero(layers[0][2] == group)
        inputs[0][:, here] = close(last[:, layers[-1][1] == group], side[:, side_groups == group])
    return last


@pytest.mark.parametrize(
    ("num_rows", "num_groups", "widths"),
    # Blocks are larger where there are few rows.
    [
        (5, 1, (23,)),
        (9, 2, ()),
        (9, 16, (40,)),
        (9, 17, (23, 90)),
        (9, 40, (23, 90)),
        (5, 40, (23, 90)),
        (9, 40, ()),
        (9, 130, (140,)),
        (1, 130, (140,)),
    ],
)
@pytest.mark.parametrize("order", ["random", *(pytest.param(order, marks=pytest.mark.long) for order in ("rising", "falling"))])
def test_equals_the_naive_loop(order, num_rows, num_groups, widths):
    rng = np.random.default_rng(0)
    order = {"random": rng.permutation(num_groups), "rising": np.arange(num_groups), "falling": np.arange(num_groups)[::-1]}[
        order
    ]
    # Some groups have several units, some none; groups of -1 and of `num_groups` are left out.
    groups = [order, *(np.sort(rng.integers(-1, num_groups + 1, size=width)) for width in widths), np.repeat(order, 2)]
    plain = []
    for number, (before, after) in enumerate(itertools.pairwise(groups)):
        reads = after > before[:, None] if number == 0 else after >= before[:, None]
        reads &= ((before >= 0) & (before < num_groups))[:, None]
        plain.append((rng.normal(size=reads.shape) * reads, after, before, rng.normal(size=[1, len(after)])))
    sides = [(rng.normal(size=[num_rows, num_groups]), order)]
    layers = [
        # Either way of storing a matrix.
        _cycle.Layer(
            tf.constant(matrix.T if number % 2 else matrix),
            bool(number % 2),
            after,
            before,
            tf.constant(offset),
            None,
            lambda x, *_: (tf.tanh(x), None),
        )
        for number, (matrix, after, before, offset) in enumerate(plain)
    ]

    def close(total, before, side):
        del before
        # The two units of every group, side by side.
        total = tf.reshape(total, [-1, total.shape[1] // 2, 2])
        return total[..., 0] * tf.sin(total[..., 1]) + side

    expected = naive(plain, lambda total, side: total[:, :1] * np.sin(total[:, 1:]) + side, sides, num_groups)
    close_sides = [(tf.constant(side), groups) for side, groups in sides]

    def solve():
        return _cycle.solve_cycle(layers, close, close_sides, num_groups, 1.0)

    for mode in (solve, tf.function(solve, autograph=False)):
        np.testing.assert_allclose(mode(), expected, atol=1e-12)


def evaluations(matrix, num_groups):
    """How often the units of z = matrix z + 1 were evaluated, all groups counted, and the solution."""
    count = tf.Variable(0)

    def function(x, *_):
        count.assign_add(1)
        return x, None

    groups = np.arange(num_groups)
    layer = _cycle.Layer(tf.constant(matrix.T, tf.float32), False, groups, groups, tf.zeros([1, num_groups]), None, function)
    ones = tf.ones([2, num_groups])
    values = _cycle.solve_cycle([layer], lambda total, before, side: total + side, [(ones, groups)], num_groups, 1.0)
    return count.numpy(), values


def test_a_block_is_evaluated_until_it_settles_and_at_most_once_per_group_and_once_more():
    weak, strong = np.tri(16, k=-1) * 1e-3, np.tri(16, k=-1)
    few, _ = evaluations(weak, 16)
    assert few <= 5
    many, values = evaluations(strong, 16)
    assert 10 < many <= 17
    np.testing.assert_allclose(values[0], 2.0 ** np.arange(16) - 1.0)
    both_blocks, _ = evaluations(np.tri(32, k=-1) * 1e-3, 32)
    assert both_blocks <= 10


def test_values_on_the_way_may_overflow():
    """y_i = 1e30 y_{i-1}^2 with y_0 = 0: iterates from elsewhere would reach inf, and through 0 * inf nan."""
    size = 12
    groups = np.arange(size)
    matrix = tf.constant(np.eye(size, k=1), tf.float32)
    side = np.zeros([1, size], np.float32)
    side[0, :2] = 2.0, -8e30
    layer = _cycle.Layer(matrix, False, groups, groups, tf.zeros([1, size]), None, lambda x, *_: (1e30 * x**3, None))
    values = _cycle.solve_cycle([layer], lambda total, before, side: total + side, [(tf.constant(side), groups)], size, 1.0)
    np.testing.assert_array_equal(values[:, 2:], np.zeros([1, size - 2]))
