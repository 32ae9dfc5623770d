import ast
import itertools
import pathlib

import numpy as np
import pytest

from tfp_iaf import masks


def test_masks_needs_neither_tensorflow_nor_keras():
    tree = ast.parse(pathlib.Path(masks.__file__).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"numpy"}
    assert {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} == {"typing", "tfp_iaf.arguments"}


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


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("num_blocks", [1, 2, 5])
def test_kernel_blocks_cover_the_mask_once(num_blocks, strict):
    rng = np.random.default_rng(0)
    for _ in range(20):
        in_degrees, out_degrees = (np.sort(rng.integers(0, 6, size=size)) for size in (9, 7))
        mask = masks.degree_mask(in_degrees, out_degrees, strict)
        covered = np.zeros(mask.shape, int)
        for block in masks.kernel_blocks(in_degrees, out_degrees, num_blocks, strict):
            here = slice(*block.rows), slice(*block.columns)
            covered[here] += 1
            # No row too many.
            assert mask[here].any(axis=1).all()
        assert covered.max(initial=0) <= 1
        assert covered[mask].all()


def test_only_the_blocks_on_the_staircase_have_masked_entries():
    degrees = np.arange(64)
    blocks = masks.kernel_blocks(degrees, degrees, 4)
    mask = masks.degree_mask(degrees, degrees)
    whole = [mask[slice(*block.rows), slice(*block.columns)].all() for block in blocks]
    assert sorted(whole) == [False] * 4 + [True] * 3
    assert sum((b.rows[1] - b.rows[0]) * (b.columns[1] - b.columns[0]) for b in blocks) == 5 / 8 * 64**2


def test_kernel_blocks_refuse_what_does_not_fit():
    for arguments, message in {
        ((1, 2), (1, 2), 3): "at most the number of outputs, 2",
        ((1, 2), (1, 2), 0): "positive integer",
        ((2, 1), (1, 2), 2): "sorted",
    }.items():
        with pytest.raises(ValueError, match=message):
            masks.kernel_blocks(*arguments)
