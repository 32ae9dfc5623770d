import ast
import itertools
import pathlib

import numpy as np
import pytest

from tfp_iaf import masks


def test_masks_needs_neither_tensorflow_nor_keras():
    """But for the names of types, which only a type checker imports."""
    tree = ast.parse(pathlib.Path(masks.__file__).read_text())
    imported = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert imported == {"numpy", "numpy.typing", "__future__", "collections.abc", "typing", "tfp_iaf._arguments"}
    (conditional,) = (node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(conditional.test) == "TYPE_CHECKING"


@pytest.mark.parametrize("event_size", [1, 2, 3, 7])
@pytest.mark.parametrize("order", ["left-to-right", "right-to-left", "random"])
def test_orders_are_permutations(event_size, order):
    degrees = masks.input_degrees(event_size, order, seed=3)
    assert sorted(degrees) == list(range(1, event_size + 1))


def test_random_order_follows_its_seed():
    same = [masks.input_degrees(50, "random", seed=4) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert (same[0] != masks.input_degrees(50, "random", seed=5)).any()


@pytest.mark.parametrize("with_context", [False, True])
@pytest.mark.parametrize(("num_units", "event_size"), [(1, 1), (5, 1), (6, 3), (64, 8), (7, 4), (3, 9)])
def test_hidden_degrees_are_sorted_useful_and_even(num_units, event_size, with_context):
    degrees = masks.hidden_degrees(num_units, event_size, with_context)
    useful = list(range(0 if with_context or event_size == 1 else 1, event_size))
    assert list(degrees) == sorted(degrees)
    assert set(degrees) <= set(useful)
    counts = [list(degrees).count(degree) for degree in useful]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("with_context", [False, True])
@pytest.mark.parametrize("order", ["left-to-right", "right-to-left", "random"])
@pytest.mark.parametrize("widths", [(), (12,), (12, 24), (12, 7, 12)])
def test_product_of_masks_is_exactly_the_strict_triangle(order, widths, with_context):
    """Two-sided: no path where none is allowed, a path wherever one is (given one unit a degree)."""
    event_size = 7
    degrees = [masks.input_degrees(event_size, order, seed=1)]
    degrees += [masks.hidden_degrees(width, event_size, with_context) for width in widths]
    paths = np.eye(event_size)
    for before, after in itertools.pairwise(degrees):
        paths = paths @ masks.degree_mask(before, after)
    paths = paths @ masks.degree_mask(degrees[-1], degrees[0], strict=True)
    allowed = degrees[0][:, None] < degrees[0][None, :]
    np.testing.assert_array_equal(paths > 0, allowed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "positive integer"),
        ((2.0,), "positive integer"),
        ((3, "sideways"), "left-to-right, right-to-left, random"),
        ((3, [1, 2]), "permutation of 1..3"),
        ((3, [0, 1, 2]), "permutation of 1..3"),
        ((3, [1, 2, 2]), "permutation of 1..3"),
        ((2, [1.0, 2.0]), "permutation of 1..2"),
    ],
)
def test_bad_orders(arguments, message):
    with pytest.raises(ValueError, match=message):
        masks.input_degrees(*arguments)


def test_bad_width():
    with pytest.raises(ValueError, match="width of a hidden layer must be a positive integer"):
        masks.hidden_degrees(0, 4)


def blocks(in_degrees, out_degrees, num_blocks, strict=False):
    """The parts of the mask, by block of rows and block of columns."""
    mask = masks.degree_mask(in_degrees, out_degrees, strict)
    row_sizes, column_sizes = masks.kernel_blocks(in_degrees, out_degrees, num_blocks, strict)
    assert (sum(row_sizes), sum(column_sizes)) == mask.shape
    assert min(row_sizes) > 0
    return [np.split(rows, np.cumsum(column_sizes)[:-1], axis=1) for rows in np.split(mask, np.cumsum(row_sizes)[:-1], axis=0)]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("num_blocks", [1, 2, 5])
@pytest.mark.parametrize("in_order", [1, -1])
@pytest.mark.parametrize("out_order", [1, -1])
def test_kernel_blocks_split_along_the_boundary(num_blocks, strict, in_order, out_order):
    """No block of columns has more than one block with both allowed and forbidden rows."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        in_degrees, out_degrees = np.sort(rng.integers(0, 6, size=9)), np.sort(rng.integers(0, 6, size=7))
        grid = blocks(in_degrees[::in_order], out_degrees[::out_order], num_blocks, strict)
        for column in zip(*grid):
            # A row that some output of the block reads, among others that no output of it reads.
            assert not any(part.any(axis=1).any() and not part.any(axis=1).all() for part in column)


def test_nearly_half_of_the_blocks_are_empty_and_most_others_full():
    degrees = np.arange(64)
    for order in (1, -1):
        parts = [part for row in blocks(degrees[::order], degrees, 4) for part in row]
        assert sum(part.all() for part in parts) == 6
        assert sum(not part.any() for part in parts) == 6
        assert {part.shape for part in parts} == {(16, 16)}


def test_kernel_blocks_refuse_what_does_not_fit():
    for arguments, message in {
        ((1, 2), (1, 2), 3): "at most the number of outputs, 2",
        ((1, 2), (1, 2), 0): "positive integer",
        ((2, 1, 3), (1, 2), 2): "num_blocks must be 1 for degrees that neither rise nor fall",
    }.items():
        with pytest.raises(ValueError, match=message):
            masks.kernel_blocks(*arguments)


@pytest.mark.parametrize("with_context", [False, True])
def test_random_hidden_degrees(with_context):
    degrees, choice = masks.fixed_hidden_degrees((30, 40), 5, "random", with_context, seed=1)
    assert [layer.tolist() for layer in degrees] == choice
    again, _ = masks.fixed_hidden_degrees((30, 40), 5, choice, with_context)
    for layer, same, width in zip(degrees, again, (30, 40)):
        np.testing.assert_array_equal(layer, same)
        np.testing.assert_array_equal(layer, np.sort(layer))
        assert set(layer) == set(range(0 if with_context else 1, 5))
        assert len(layer) == width
    other, _ = masks.fixed_hidden_degrees((30, 40), 5, "random", with_context, seed=2)
    assert (other[0] != degrees[0]).any()


def test_conv_mask_of_a_series():
    mask = masks.conv_mask((3,), [1, 2], [1, 2], strict=True)
    assert mask[:2].all()
    np.testing.assert_array_equal(mask[2], masks.degree_mask([1, 2], [1, 2], strict=True))
