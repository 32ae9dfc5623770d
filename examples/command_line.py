"""Flags of the examples, checked before TensorFlow is imported: a wrong flag is refused at once, not after seconds."""

import sys

from absl import app

STEPS_BETWEEN_VALIDATIONS = 1000


def parse():
    """Parses the flags defined so far; ends the program in one line if they are wrong, or with the help that they ask for."""
    app.define_help_flags()
    unexpected = app.parse_flags_with_usage(sys.argv)[1:]
    if unexpected:
        app.usage(shorthelp=True, detailed_error=f"Unexpected arguments: {' '.join(unexpected)}", exitcode=1)


def is_widths(values):
    """Whether a list flag, if given, holds positive integers."""
    return values is None or all(value.isdigit() and int(value) > 0 for value in values)


def is_steps(steps):
    """Whether a number of steps, if given, fits the validations."""
    return steps is None or steps <= STEPS_BETWEEN_VALIDATIONS or steps % STEPS_BETWEEN_VALIDATIONS == 0
