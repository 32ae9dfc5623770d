"""Refuses a Keras whose backend is not TensorFlow."""

import os
import sys

__all__ = []


def _check(backend):
    if backend != "tensorflow":
        raise ImportError(
            f"tfp_iaf needs Keras on TensorFlow, got the backend {backend!r}: set KERAS_BACKEND=tensorflow before Keras is "
            "imported."
        )


if "keras" not in sys.modules:
    # Before Keras looks for a backend that is not installed.
    _check(os.environ.get("KERAS_BACKEND") or "tensorflow")

import keras  # noqa: E402

_check(keras.backend.backend())
