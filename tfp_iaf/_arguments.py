"""Checks of arguments that many rooms share."""

from __future__ import annotations

import math
import numbers
import operator
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

__all__ = [
    "choice",
    "flag",
    "given",
    "integer",
    "integers",
    "layer_seed",
    "non_negative",
    "path",
    "positive",
    "real",
    "sizes",
    "widths",
]

_LONGEST = 80


def given(value: Any) -> str:
    """What errors say of a value: its `repr`, in one line of at most 80 characters. Of a class, how to make an object of it.

    >>> given("twice"), given(range(3)), len(given("long" * 100))
    ("'twice'", 'range(0, 3)', 80)
    >>> given(pathlib.Path)
    'the class Path (pass an object: Path(...))'
    """
    if isinstance(value, type) and value.__module__ not in ("builtins", "numpy"):
        return f"the class {value.__name__} (pass an object: {value.__name__}(...))"
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def integer(name: str, value: Any, at_least: int = 1) -> int:
    """The value as an int; a ValueError unless it is an integer (a NumPy one will do) of at least `at_least`.

    >>> integer("latent_size", 3)
    3
    """
    kind = {0: "a non-negative integer", 1: "a positive integer"}.get(at_least, f"an integer of at least {at_least}")
    try:
        number = operator.index(value)
    except (TypeError, AttributeError):  # The second from tensors that hold no integers.
        number = None
    if number is None or isinstance(value, bool) or number < at_least:
        raise ValueError(f"{name} must be {kind}, got {given(value)}.")
    return number


def positive(name: str, value: Any) -> float:
    """The value as a float; a ValueError unless it is a finite real number above zero.

    >>> positive("learning_rate", 1)
    1.0
    """
    if not _is_real(value) or not 0.0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number, got {given(value)}.")
    return float(value)


def non_negative(name: str, value: Any) -> float:
    """The value as a float; a ValueError unless it is a finite real number of at least zero.

    >>> non_negative("temperature", 0)
    0.0
    """
    if not _is_real(value) or not 0.0 <= value < math.inf:
        raise ValueError(f"{name} must be a number of at least 0, got {given(value)}.")
    return float(value)


def real(name: str, value: Any) -> float:
    """The value as a float; a ValueError unless it is a finite real number.

    >>> real("initial_mean", -1)
    -1.0
    """
    if not _is_real(value) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {given(value)}.")
    return float(value)


def _is_real(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def layer_seed(value: Any) -> int | None:
    """The seed of a layer, as an int; a ValueError unless it is None or an integer in [0, 2^32 - 1].

    >>> layer_seed(7)
    7
    """
    if value is not None and integer("seed", value, at_least=0) >= 2**32:
        raise ValueError(f"seed must be below 2**32, got {given(value)}.")
    return None if value is None else operator.index(value)


def flag(name: str, value: Any) -> bool:
    """The value as a bool; a ValueError unless it is one: "no" and NaN count as true in Python.

    >>> flag("residual", False)
    False
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {given(value)}.")
    return bool(value)


def choice(name: str, value: Any, names: Iterable[str], others: str = "") -> str:
    """The value; a ValueError unless it is one of the names.

    Args:
        name: of the argument.
        value: what was given.
        names: the texts that are right.
        others: what else the argument may be, for the error.

    >>> choice("cell", "gru", ("lstm", "gru"))
    'gru'
    """
    names = tuple(names)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{name} must be one of {', '.join(names)}{others}, got {given(value)}.")
    return value


def widths(name: str, values: Any) -> tuple[int, ...]:
    """A tuple of positive integers of a sequence of them, or of None.

    >>> widths("hidden_units", [64, 64])
    (64, 64)
    """
    return () if values is None else integers(name, values, "widths, such as (64, 64)")


def integers(name: str, values: Any, kind: str, at_least: int = 1) -> tuple[int, ...]:
    """A tuple of integers of at least `at_least`, of a sequence of them; `kind` says in errors what the sequence holds.

    >>> integers("image_shape", [8, 8, 3], "sizes")
    (8, 8, 3)
    """
    is_sequence = np.iterable(values) and hasattr(values, "__getitem__") and not isinstance(values, str | bytes | Mapping)
    if not is_sequence:
        raise ValueError(f"{name} must be a sequence of {kind}, got {given(values)}.")
    return tuple(integer(f"Each number in {name}", value, at_least) for value in values)


def sizes(name: str, value: Any) -> tuple[int, ...]:
    """A tuple of positive integers, of one or of a sequence of them.

    >>> sizes("event_shape", 8), sizes("event_shape", (8, 8, 3))
    ((8,), (8, 8, 3))
    """
    if np.iterable(value):
        return integers(name, value, "positive integers")
    return (integer(name, value),)


def path(name: str, value: Any) -> pathlib.Path:
    """The value as a path; a ValueError unless it is a text or a path.

    >>> path("log_dir", "runs").name
    'runs'
    """
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise ValueError(f"{name} must be a path, such as 'runs/model', got {given(value)}.")
    return pathlib.Path(value)
