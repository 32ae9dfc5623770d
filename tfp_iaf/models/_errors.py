"""Errors that Keras buries under a report, in one line."""

import re

__all__ = ["REPORTED", "first_line", "raise_in_one_line"]

# Keras's words before what happened, and those before all that it knows of the inputs and the config.
_BEFORE = r"Exception encountered: |Error encountered:\s+"
_AFTER = r" (?:Full object config:|Inputs received:|Example error message) "
_CALLING = "Exception encountered when calling"

# Classes of errors that Keras makes reports of, and that take a text alone.
REPORTED = (KeyError, NotImplementedError, TypeError, ValueError)


def first_line(error):
    """The line of an error that says what happened: Keras and TensorFlow write reports.

    >>> first_line(ValueError("Exception encountered when calling VAE.call().\\n\\nThe rank is 0.\\n\\nArguments ..."))
    'The rank is 0.'
    """
    # Of an error of a part inside a part, the innermost. `str` of a KeyError is a repr.
    text = re.split(_BEFORE, str(error.args[0] if isinstance(error, KeyError) and error.args else error))[-1]
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).split("\n") if line.strip()]
    while len(lines) > 1 and lines[0].startswith(_CALLING):
        del lines[0]
    # What follows is the whole config, or all inputs.
    return re.split(_AFTER, lines[0])[0] if lines else type(error).__name__


def raise_in_one_line(error):
    """Raises the error that Keras made this report of, by its first line; nothing if it is no report.

    >>> raise_in_one_line(ValueError("Exception encountered when calling VAE.call().\\n\\nThe rank is 0.\\n\\nArguments ..."))
    Traceback (most recent call last):
    ...
    ValueError: The rank is 0.
    """
    if re.search(rf"{_BEFORE}|{_CALLING}", str(error)):
        raise type(error)(first_line(error)) from error
