"""Flags of the examples, checked before TensorFlow is imported: a wrong flag is refused at once, not after seconds."""

import pathlib
import sys

from absl import app, flags

STEPS_BETWEEN_VALIDATIONS = 1000
EXPECTED_DATA = "expected digits, mnist, or the path of an .npz file"


def parse():
    """Parses the flags defined so far; ends the program in one line if they are wrong, or with the help that they ask for."""
    app.define_help_flags()
    unexpected = app.parse_flags_with_usage(sys.argv)[1:]
    if unexpected:
        app.usage(shorthelp=True, detailed_error=f"Unexpected arguments: {' '.join(unexpected)}", exitcode=1)


def values_of(module, left_out):
    """The values of the flags that a module defines, by name, without those left out."""
    named = {flag.name: flag.value for flag in flags.FLAGS.get_key_flags_for_module(module)}
    return {name: value for name, value in named.items() if name not in left_out}


def is_data(source):
    """Whether --data names binary images that `datasets.load` knows, or a file; else `EXPECTED_DATA`."""
    return source in ("digits", "mnist") or pathlib.Path(source).is_file()


def is_list_of(known):
    """A validator of list flags whose values, if given, must be known; its message is `expected_list_of`."""
    return lambda values: values is None or (bool(values) and set(values) <= set(known))


def expected_list_of(known):
    return f"expected a comma-separated list of {', '.join(known)}"


def is_widths(values):
    """Whether a list flag, if given, holds positive integers."""
    return values is None or all(value.isdigit() and int(value) > 0 for value in values)


def is_steps(steps):
    """Whether a number of steps, if given, fits the validations."""
    return steps is None or steps <= STEPS_BETWEEN_VALIDATIONS or steps % STEPS_BETWEEN_VALIDATIONS == 0
