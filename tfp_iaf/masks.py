"""Autoregressive masks: input order -> degrees -> boolean masks.

Only NumPy is used here, so that the structure every network relies on can be read and tested on its own.

A unit's *degree* says how far along the input order it may look. The event entry that comes k-th in the order has
degree k (1-based); a hidden unit of degree d may depend on the entries of degree <= d, and the parameters of the entry of
degree k on hidden units of degree < k. Degree 0 stands for units that see the context alone.
The construction is that of MADE (Germain et al. 2015, section 4.1, equations 12 and 13).
"""

from typing import NamedTuple

import numpy as np

from tfp_iaf._arguments import integer

__all__ = ["KernelBlock", "conv_mask", "degree_mask", "fixed_order", "hidden_degrees", "input_degrees", "kernel_blocks"]


def input_degrees(event_size, input_order="left-to-right", seed=None):
    """Degrees 1..D of the entries of an event, in the event's own layout.

    Args:
        event_size: D, the number of entries, at least 1.
        input_order: "left-to-right", "right-to-left", "random" (drawn from `seed`), or a permutation of 1..D whose i-th
            value is the position of entry i in the order (TFP's convention).
        seed: integer, used with "random" only; None draws a fresh order.

    Returns:
        An int array of shape [D].

    Raises:
        ValueError: if `event_size` is no positive integer, or the order is neither a known name nor a permutation.

    >>> input_degrees(4, "right-to-left")
    array([4, 3, 2, 1])
    >>> input_degrees(3, [2, 1, 3])
    array([2, 1, 3])
    """
    event_size = integer("event_size", event_size)
    names = ("left-to-right", "right-to-left", "random")
    if isinstance(input_order, str):
        if input_order not in names:
            raise ValueError(
                f"Unknown input_order {input_order!r}: expected one of {', '.join(names)}, or a permutation of 1..{event_size}."
            )
        degrees = np.arange(1, event_size + 1)
        if input_order == "right-to-left":
            return degrees[::-1].copy()
        if input_order == "random":
            return np.random.default_rng(seed).permutation(degrees)
        return degrees
    order = np.asarray(input_order)
    is_integer = np.issubdtype(order.dtype, np.integer)
    if not is_integer or order.ndim != 1 or not np.array_equal(np.sort(order), np.arange(1, event_size + 1)):
        raise ValueError(
            f"input_order must be a permutation of 1..{event_size} (one position for each entry), "
            f"got {np.array2string(order, threshold=8)}."
        )
    return order.astype(np.int64)


def fixed_order(event_size, input_order, seed=None):
    """(`input_degrees`, the order in a form that gives them again: a name, or for a random or given order a list).

    >>> degrees, order = fixed_order(3, "random", seed=0)
    >>> order == degrees.tolist()
    True
    """
    degrees = input_degrees(event_size, input_order, seed)
    is_fixed = isinstance(input_order, str) and input_order != "random"
    return degrees, input_order if is_fixed else degrees.tolist()


def hidden_degrees(num_units, event_size, with_context=False):
    """Degrees of a hidden layer: sorted, and spread evenly over the useful values.

    Useful are 1..D-1, and with a context also 0, so that the first entry's parameters can depend on the context. When
    `num_units` is a multiple of the number of useful values, each gets the same number of units.

    Args:
        num_units: the layer's width, at least 1.
        event_size: D.
        with_context: whether a context enters the network.

    Returns:
        A sorted int array of shape [num_units].

    Raises:
        ValueError: if `num_units` is no positive integer.

    >>> hidden_degrees(6, 4)
    array([1, 1, 2, 2, 3, 3])
    >>> hidden_degrees(4, 4, with_context=True)
    array([0, 1, 2, 3])
    """
    num_units = integer("The width of a hidden layer", num_units)
    lowest = 0 if with_context or event_size == 1 else 1
    return lowest + np.arange(num_units) * (event_size - lowest) // num_units


def degree_mask(in_degrees, out_degrees, strict=False):
    """Which inputs each output may read: `mask[i, j]` is out_degrees[j] >= in_degrees[i], or > if `strict`.

    The layout is that of a dense kernel, [inputs, outputs]. Hidden layers use the weak comparison, the last layer the
    strict one (MADE, equations 12 and 13).

    >>> degree_mask([1, 2], [1, 2]).astype(int)
    array([[1, 1],
           [0, 1]])
    >>> degree_mask([1, 2], [1, 2], strict=True).astype(int)
    array([[0, 1],
           [0, 0]])
    """
    rows = np.asarray(in_degrees)[:, np.newaxis]
    columns = np.asarray(out_degrees)[np.newaxis, :]
    return columns > rows if strict else columns >= rows


def conv_mask(kernel_size, in_degrees, out_degrees, strict=False):
    """Mask of a convolution in raster order, without the rows below the pixel's own, which it would forbid whole.

    A pixel reads all channels of the pixels above and to the left, and of its own those that `degree_mask` allows; of a
    kernel of height h and width w, h // 2 rows lie above, w // 2 columns to the left.

    Args:
        kernel_size: (h, w).
        in_degrees, out_degrees, strict: of the channels, as in `degree_mask`.

    Returns:
        A boolean array `[h // 2 + 1, w, I, O]`.

    Source: van den Oord et al. 2016 ("Pixel recurrent neural networks"), section 3.4; Kingma et al. 2016, section 4.2.

    >>> conv_mask((3, 3), [1], [1], strict=True)[..., 0, 0].astype(int)
    array([[1, 1, 1],
           [1, 0, 0]])
    """
    height, width = kernel_size
    mask = np.ones([height // 2 + 1, width, len(in_degrees), len(out_degrees)], bool)
    mask[-1, width // 2] = degree_mask(in_degrees, out_degrees, strict)
    mask[-1, width // 2 + 1 :] = False
    return mask


class KernelBlock(NamedTuple):
    """The rows `rows[0]:rows[1]` and columns `columns[0]:columns[1]` of a kernel."""

    rows: tuple
    columns: tuple


def kernel_blocks(in_degrees, out_degrees, num_blocks, strict=False):
    """Blocks that cover the allowed entries of a kernel whose inputs and outputs are sorted by degree.

    With both sorted, the allowed entries form a staircase. The second half of the columns may read all that the first half
    reads, a rectangle, and a smaller staircase beyond it; so on within each half. Of a square kernel, n squares on the
    staircase and n - 1 rectangles hold (n + 1) / 2n of the entries, and only the squares have masked ones.

    Args:
        in_degrees, out_degrees: sorted.
        num_blocks: n, at most the number of outputs.
        strict: as in `degree_mask`.

    Returns:
        A list of `KernelBlock`, disjoint, and empty where nothing is allowed.

    Raises:
        ValueError: if `num_blocks` does not fit, or the degrees are not sorted.

    >>> for block in kernel_blocks([1, 2, 3, 4], [1, 2, 3, 4], num_blocks=2):
    ...     print(block)
    KernelBlock(rows=(0, 2), columns=(0, 2))
    KernelBlock(rows=(0, 2), columns=(2, 4))
    KernelBlock(rows=(2, 4), columns=(2, 4))
    """
    in_degrees, out_degrees = np.asarray(in_degrees), np.asarray(out_degrees)
    num_outputs = len(out_degrees)
    if integer("num_blocks", num_blocks) > num_outputs:
        raise ValueError(f"num_blocks must be at most the number of outputs, {num_outputs}, got {num_blocks}.")
    if (np.diff(in_degrees) < 0).any() or (np.diff(out_degrees) < 0).any():
        raise ValueError("kernel_blocks needs sorted degrees.")
    edges = [k * num_outputs // num_blocks for k in range(num_blocks + 1)]
    # The number of inputs that each output reads: always the first ones.
    reads = [int(n) for n in np.searchsorted(in_degrees, out_degrees, "left" if strict else "right")]

    def cover(first, last, row):
        """The blocks of the columns edges[first]:edges[last], from this row on."""
        columns = edges[first], edges[last]
        if last - first == 1:
            return [KernelBlock((row, reads[columns[1] - 1]), columns)]
        middle = (first + last) // 2
        shared = reads[edges[middle] - 1]
        rectangle = KernelBlock((row, shared), (edges[middle], columns[1]))
        return [*cover(first, middle, row), rectangle, *cover(middle, last, shared)]

    return [block for block in cover(0, num_blocks, 0) if block.rows[0] < block.rows[1]]
