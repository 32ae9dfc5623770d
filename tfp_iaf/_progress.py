"""Whether to show how far work has come: in a terminal or a notebook."""

import sys

__all__ = ["announce_compiling", "is_interactive"]


def is_interactive():
    """Whether somebody watches the output.

    >>> is_interactive()
    False
    """
    return getattr(sys.stdout, "isatty", lambda: False)() or "ipykernel" in sys.modules


def announce_compiling(model):
    """Says that the first step of a Keras model takes longer, if it is compiled."""
    if model.compiled and not model.run_eagerly and is_interactive():
        print("Compiling the training step; the first step takes longer than the others.", flush=True)
