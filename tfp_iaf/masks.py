"""Autoregressive masks: input order -> degrees -> boolean masks.

Only NumPy is used here, so that the structure every network relies on can be read and tested on its own.

A unit's *degree* says how far along the input order it may look. The event entry that comes k-th in the order has
degree k (1-based); a hidden unit of degree d may depend on the entries of degree <= d, and the parameters of the entry of
degree k on hidden units of degree < k. Degree 0 stands for units that see the context alone.
The construction is that of MADE (Germain et al. 2015, section 4.1, equations 12 and 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from tfp_iaf._arguments import choice as one_of
from tfp_iaf._arguments import flag, given, integer, integers, widths

if TYPE_CHECKING:
    from tfp_iaf._types import InputOrder  # It imports TensorFlow.

__all__ = [
    "KernelBlocks",
    "alternating_orders",
    "conv_mask",
    "degree_array",
    "degree_mask",
    "fixed_hidden_degrees",
    "fixed_order",
    "hidden_degrees",
    "input_degrees",
    "is_monotone",
    "kernel_blocks",
]


_REVERSED = {"left-to-right": "right-to-left", "right-to-left": "left-to-right"}


def input_degrees(event_size: int, input_order: InputOrder = "left-to-right", seed: int | None = None) -> np.ndarray:
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
    seed = None if seed is None else integer("seed", seed, at_least=0)
    if isinstance(input_order, str):
        names = ("left-to-right", "right-to-left", "random")
        one_of("input_order", input_order, names, f", or a permutation of 1..{event_size}")
        degrees = np.arange(1, event_size + 1)
        if input_order == "right-to-left":
            return degrees[::-1].copy()
        if input_order == "random":
            return np.random.default_rng(seed).permutation(degrees)
        return degrees
    order = _integer_array(input_order)
    if order is None or not np.array_equal(np.sort(order), np.arange(1, event_size + 1)):
        raise ValueError(
            f"input_order must be a permutation of 1..{event_size} (one position for each entry), got {given(input_order)}."
        )
    return order.astype(np.int64)


def fixed_order(event_size: int, input_order: InputOrder, seed: int | None = None) -> tuple[np.ndarray, InputOrder]:
    """Returns (`input_degrees`, the order in a form that gives them again: a name, or for a random or given order a list).

    >>> degrees, order = fixed_order(3, "random", seed=0)
    >>> order == degrees.tolist()
    True
    """
    degrees = input_degrees(event_size, input_order, seed)
    is_fixed = isinstance(input_order, str) and input_order != "random"
    return degrees, input_order if is_fixed else degrees.tolist()


def hidden_degrees(num_units: int, event_size: int, with_context: bool = False) -> np.ndarray:
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
        ValueError: if a size is no positive integer.

    >>> hidden_degrees(6, 4)
    array([1, 1, 2, 2, 3, 3])
    >>> hidden_degrees(4, 4, with_context=True)
    array([0, 1, 2, 3])
    """
    num_units, event_size = integer("The width of a hidden layer", num_units), integer("event_size", event_size)
    with_context = flag("with_context", with_context)
    lowest = 0 if with_context or event_size == 1 else 1
    return lowest + np.arange(num_units) * (event_size - lowest) // num_units


def alternating_orders(event_size: int, input_order: InputOrder, num_flows: int) -> list[InputOrder]:
    """Returns the input orders of a chain's networks: the given one and its reverse in turn.

    >>> alternating_orders(3, "left-to-right", 3)
    ['left-to-right', 'right-to-left', 'left-to-right']
    >>> alternating_orders(3, [2, 1, 3], 2)
    [[2, 1, 3], [2, 3, 1]]
    """
    degrees, order = fixed_order(event_size, input_order)
    reverse = _REVERSED[order] if isinstance(order, str) else (event_size + 1 - degrees).tolist()
    return [(order, reverse)[k % 2] for k in range(integer("num_flows", num_flows))]


def fixed_hidden_degrees(
    hidden_units: Sequence[int],
    event_size: int,
    choice: str | Sequence[Sequence[int]] = "equal",
    with_context: bool = False,
    seed: int | None = None,
) -> tuple[list[np.ndarray], str | list[list[int]]]:
    """Returns (the degrees of each hidden layer, a choice that gives them again: "equal", or lists of drawn or given ones).

    Args:
        hidden_units: widths of the hidden layers.
        event_size: D.
        choice: "equal" for those of the function `hidden_degrees`; "random" for sorted draws, each from the lowest
            degree of the layer before to D - 1; or for each layer a list of integers from 0 to D - 1.
        with_context: as in `hidden_degrees`.
        seed: integer, used with "random" only; None draws afresh.

    Returns:
        A list of int arrays, and a name or a list of lists.

    Raises:
        ValueError: for an unknown name, and for lists that do not fit the widths or the event.

    >>> degrees, choice = fixed_hidden_degrees((4, 2), 3, [[1, 2, 1, 2], [1, 2]])
    >>> [layer.tolist() for layer in degrees] == choice
    True
    """
    hidden_units, event_size = widths("hidden_units", hidden_units), integer("event_size", event_size)
    with_context = flag("with_context", with_context)
    seed = None if seed is None else integer("seed", seed, at_least=0)
    if isinstance(choice, str):
        if one_of("hidden_degrees", choice, ("equal", "random"), ", or a list for each layer") == "equal":
            return [hidden_degrees(width, event_size, with_context) for width in hidden_units], choice
        rng = np.random.default_rng(None if seed is None else [seed, 1])
        lowest, layers = 0 if with_context or event_size == 1 else 1, []
        for width in hidden_units:
            layers.append(np.sort(rng.integers(lowest, event_size, size=width)))
            lowest = layers[-1][0]
        return layers, [layer.tolist() for layer in layers]
    if not isinstance(choice, list | tuple | np.ndarray) or getattr(choice, "ndim", 1) == 0:
        raise ValueError(f"hidden_degrees must be 'equal', 'random', or a list for each layer, got {given(choice)}.")
    found = [_integer_array(layer) for layer in choice]
    layers = [layer for layer in found if layer is not None and ((layer >= 0) & (layer < event_size)).all()]
    if len(layers) < len(found):
        raise ValueError(f"hidden_degrees must be integers from 0 to {event_size - 1}, got {given(choice)}.")
    if [layer.shape for layer in layers] != [(width,) for width in hidden_units]:
        raise ValueError(
            f"hidden_degrees must have one degree for each unit of the layers {list(hidden_units)}, got lists of shapes "
            f"{[layer.shape for layer in layers]}."
        )
    return layers, [layer.tolist() for layer in layers]


def _integer_array(values):
    """An int array of one axis of a sequence of integers; None of anything else."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        return None
    if isinstance(values, list | tuple) and not values:
        array = array.astype(np.int64)
    return array if array.ndim == 1 and np.issubdtype(array.dtype, np.integer) else None


def degree_array(name: str, degrees: npt.ArrayLike) -> np.ndarray:
    """The degrees as an int array; `name` is what errors call them.

    Raises:
        ValueError: for anything but a sequence of integers.

    >>> degree_array("degrees", [1, 2])
    array([1, 2])
    """
    array = _integer_array(degrees)
    if array is None or not array.size:
        raise ValueError(f"{name} must be a sequence of integers, got {given(degrees)}.")
    return array


def degree_mask(in_degrees: npt.ArrayLike, out_degrees: npt.ArrayLike, strict: bool = False) -> np.ndarray:
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
    rows = degree_array("in_degrees", in_degrees)[:, np.newaxis]
    columns = degree_array("out_degrees", out_degrees)[np.newaxis, :]
    return columns > rows if flag("strict", strict) else columns >= rows


def conv_mask(
    kernel_size: Sequence[int], in_degrees: npt.ArrayLike, out_degrees: npt.ArrayLike, strict: bool = False
) -> np.ndarray:
    """Mask of a convolution in raster order over the pixels of an image, or in the order of time over a series.

    A pixel reads all channels of the pixels above and to the left, and of its own those that `degree_mask` allows. The rows
    of the kernel below the pixel's own, which the order forbids whole, are left out: of a kernel of height h and width w,
    h // 2 rows lie above, and w // 2 columns to the left. A time point of a series reads the k - 1 time points before it, and
    of its own as a pixel does.

    Args:
        kernel_size: (h, w) for images, (k,) for series.
        in_degrees, out_degrees, strict: of the channels, as in `degree_mask`.

    Returns:
        A boolean array `[h // 2 + 1, w, I, O]` or `[k, I, O]`.

    Source: van den Oord et al. 2016 ("Pixel recurrent neural networks"), section 3.4; Kingma et al. 2016, section 4.2.

    >>> conv_mask((3, 3), [1], [1], strict=True)[..., 0, 0].astype(int)
    array([[1, 1, 1],
           [1, 0, 0]])
    >>> conv_mask((3,), [1], [1], strict=True)[..., 0, 0].astype(int)
    array([1, 1, 0])
    """
    own = degree_mask(in_degrees, out_degrees, strict)
    kernel_size = integers("kernel_size", kernel_size, "one or two sizes")
    if len(kernel_size) not in (1, 2):
        raise ValueError(f"kernel_size must be (h, w) for images or (k,) for series, got {given(kernel_size)}.")
    if len(kernel_size) == 1:
        mask = np.ones([*kernel_size, *own.shape], bool)
        mask[-1] = own
        return mask
    height, width = kernel_size
    mask = np.ones([height // 2 + 1, width, *own.shape], bool)
    mask[-1, width // 2] = own
    mask[-1, width // 2 + 1 :] = False
    return mask


def is_monotone(degrees: npt.ArrayLike) -> bool:
    """Whether the degrees never fall, or never rise.

    >>> is_monotone([1, 2, 2]), is_monotone([3, 1]), is_monotone([1, 3, 2])
    (True, True, False)
    """
    changes = np.diff(degree_array("degrees", degrees))
    return bool((changes >= 0).all() or (changes <= 0).all())


class KernelBlocks(NamedTuple):
    """A grid of blocks over a kernel: the sizes of its blocks of rows, and of its blocks of columns."""

    row_sizes: list
    column_sizes: list


def kernel_blocks(in_degrees: npt.ArrayLike, out_degrees: npt.ArrayLike, num_blocks: int, strict: bool = False) -> KernelBlocks:
    """Cuts a kernel so that about half of the blocks have no allowed entry, and most others no forbidden one.

    The degrees rise or fall along both axes, so that the forbidden entries lie on one side of a boundary from corner to
    corner. The columns are cut into blocks of equal size, and the rows where the boundary crosses those cuts. Of a square
    kernel cut into n x n blocks, n lie on the boundary, n (n - 1) / 2 have no forbidden entry, and the others no allowed one.

    Args:
        in_degrees, out_degrees: integers that never fall, or never rise.
        num_blocks: n, the number of blocks of columns, at most the number of outputs.
        strict: as in `degree_mask`.

    Returns:
        `KernelBlocks`.

    Raises:
        ValueError: if `num_blocks` does not fit, or the degrees neither rise nor fall.

    >>> kernel_blocks([1, 2, 3, 4], [1, 2, 3, 4], num_blocks=2)
    KernelBlocks(row_sizes=[2, 2], column_sizes=[2, 2])
    """
    in_degrees, out_degrees = degree_array("in_degrees", in_degrees), degree_array("out_degrees", out_degrees)
    strict = flag("strict", strict)
    num_inputs, num_outputs = len(in_degrees), len(out_degrees)
    if integer("num_blocks", num_blocks) > num_outputs:
        raise ValueError(f"num_blocks must be at most the number of outputs, {num_outputs}, got {num_blocks}.")
    if not (is_monotone(in_degrees) and is_monotone(out_degrees)):
        raise ValueError("num_blocks must be 1 for degrees that neither rise nor fall all along.")
    # Sorted first; the sizes are turned round where degrees fall.
    cuts = np.arange(num_blocks + 1) * num_outputs // num_blocks
    highest = np.sort(out_degrees)[cuts[1:] - 1]
    reads = np.searchsorted(np.sort(in_degrees), highest, "left" if strict else "right")
    row_sizes, column_sizes = np.diff(np.unique([0, *reads, num_inputs])).tolist(), np.diff(cuts).tolist()
    return KernelBlocks(
        row_sizes[::-1] if in_degrees[0] > in_degrees[-1] else row_sizes,
        column_sizes[::-1] if out_degrees[0] > out_degrees[-1] else column_sizes,
    )
