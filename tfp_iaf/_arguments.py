"""Checks of arguments that many rooms share."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

import numpy as np

__all__ = ["integer", "non_negative", "positive", "widths"]


def integer(name: str, value: Any, at_least: int = 1) -> int:
    """The value as an int; a ValueError unless it is an integer (a NumPy one will do) of at least `at_least`.

    >>> integer("latent_size", 3)
    3
    """
    kind = {0: "a non-negative integer", 1: "a positive integer"}.get(at_least, f"an integer of at least {at_least}")
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < at_least:
        raise ValueError(f"{name} must be {kind}, got {value!r}.")
    return number


def positive(name: str, value: Any) -> float:
    """The value as a float; a ValueError unless it is a finite real number above zero.

    >>> positive("learning_rate", 1)
    1.0
    """
    if not _is_real(value) or not 0.0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number, got {value!r}.")
    return float(value)


def non_negative(name: str, value: Any) -> float:
    """The value as a float; a ValueError unless it is a finite real number of at least zero.

    >>> non_negative("temperature", 0)
    0.0
    """
    if not _is_real(value) or not 0.0 <= value < math.inf:
        raise ValueError(f"{name} must be a number of at least 0, got {value!r}.")
    return float(value)


def _is_real(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def widths(name: str, values: Any) -> tuple[int, ...]:
    """A tuple of positive integers of a sequence of them, or of None.

    >>> widths("hidden_units", [64, 64])
    (64, 64)
    """
    if values is not None and not np.iterable(values):
        raise ValueError(f"{name} must be a sequence of widths, such as (64, 64), got {values!r}.")
    return tuple(integer(f"A width in {name}", width) for width in (() if values is None else values))
