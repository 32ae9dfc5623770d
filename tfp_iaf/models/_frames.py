"""Tables with names of columns and rows, such as pandas DataFrames: their entries count by place, so the names must agree."""

__all__ = ["check_frames", "check_indexes", "column_names"]


def column_names(parts, before=(None, None)):
    """The names of the columns of x and of its condition, texts; where a part has none, those of before.

    >>> column_names(([[1.0, 2.0]],), before=(["age", "income"], None))
    [['age', 'income'], None]
    """
    found = [_columns(part) for part in (*parts, None)]
    return [old if names is None else names for names, old in zip(found, before)]


def check_frames(parts, expected):
    """Checks the names of x, or of x and its condition, where these are tables.

    Args:
        parts: a tuple of one or two.
        expected: what `column_names` gave for the data that the model was fitted on.

    Raises:
        ValueError: for other columns, or another order of them; for rows of x and condition with other names.
    """
    for name, columns, got in zip(("data", "condition"), expected, column_names(parts)):
        if None in (columns, got) or got == columns:
            continue
        place = next((k for k, (one, two) in enumerate(zip(columns, got)) if one != two), min(len(columns), len(got)))
        was, found = (repr(names[place]) if place < len(names) else "missing" for names in (columns, got))
        raise ValueError(
            f"The {name} must have the columns that fit has seen, in their order: column {place + 1} was {was}, and is {found} "
            "now. Select them by name, frame[columns]."
        )
    check_indexes(*(*parts, None)[:2], "condition")


def check_indexes(x, other, name):
    """Raises a ValueError for rows of x and of what goes with it that have other names, where both have names."""
    indexes = [part.index for part in (x, other) if hasattr(getattr(part, "index", None), "equals")]
    if len(indexes) == 2 and not indexes[0].equals(indexes[1]):
        raise ValueError(
            f"The tables of the data and of the {name} must have equal indexes, since rows go together by their place: align "
            f"them with {name.split()[-1]}.loc[x.index], or call reset_index(drop=True) on both."
        )


def _columns(part):
    """The names of a table's columns; None of anything else."""
    columns, shape = getattr(part, "columns", None), getattr(part, "shape", ())
    if columns is None or len(shape) != 2 or len(columns) != shape[1]:
        return None
    return [str(name) for name in columns] if all(isinstance(name, str | int | tuple) for name in columns) else None
