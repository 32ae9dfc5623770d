"""Flags of the examples, checked before TensorFlow is imported: a wrong flag is refused at once, not after seconds."""

import importlib
import os
import pathlib
import re
import sys
import tempfile

from absl import app, flags

STEPS_BETWEEN_VALIDATIONS = 1000
EXPECTED_DATA = "expected digits, mnist, or the path of an .npz file"
# What TensorFlow writes to stderr while it is imported, whatever TF_CPP_MIN_LOG_LEVEL says.
START_UP = re.compile(r"WARNING: All log messages before absl::|[IW]\d{4} |To enable the following instructions")


def parse(check=None, tensorflow=True):
    """Parses the flags defined so far, and imports TensorFlow.

    Ends the program with the help that the flags ask for, or in one line if they are wrong.

    Args:
        check: a function that raises a ValueError for flags that do not go together.
        tensorflow: False for a program that does not need it in every process.
    """
    if {"-h", "-help", "--help"} & set(sys.argv[1:]):
        app.usage(shorthelp=True, writeto_stdout=True, exitcode=0)
    app.define_help_flags()
    unexpected = app.parse_flags_with_usage(sys.argv)[1:]
    if unexpected:
        app.usage(shorthelp=True, detailed_error=f"Unexpected arguments: {' '.join(unexpected)}", exitcode=1)
    if check is not None:
        try:
            check()
        except ValueError as error:
            sys.exit(f"{pathlib.Path(sys.argv[0]).stem}: {error}")
    if tensorflow:
        import_tensorflow()


def import_tensorflow():
    """Imports TensorFlow without the lines that it writes when it starts; errors and all other lines pass."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryFile("w+") as written:
        stderr = os.dup(2)
        os.dup2(written.fileno(), 2)
        try:
            importlib.import_module("tensorflow")
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            sys.stderr.writelines(line for line in written if not START_UP.match(line))


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
