"""Cases by name: `make test` runs one of each kind, `make test-long` the variants too."""

import pytest

__all__ = ["parametrize"]


def parametrize(argument, table, variants=None):
    """`pytest.mark.parametrize` over a dict of cases by name, with the variants among the long tests.

    Args:
        argument: the test's name for a case, or a tuple of names.
        table: the dict.
        variants: the names of cases that differ from others in what the test has never found to matter; None takes the cases
            whose attribute `is_variant` is true.
    """
    if variants is None:
        variants = [name for name, case in table.items() if case.is_variant]
    unknown = set(variants) - set(table)
    if unknown:
        raise ValueError(f"No cases of these names: {', '.join(sorted(unknown))}.")
    values = {name: case if isinstance(argument, tuple) else (case,) for name, case in table.items()}
    marks = {name: [pytest.mark.long] if name in variants else [] for name in table}
    return pytest.mark.parametrize(argument, [pytest.param(*values[name], marks=marks[name], id=name) for name in table])
