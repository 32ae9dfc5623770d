"""Refuses a Keras whose backend is not TensorFlow."""

import keras

__all__ = []

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"tfp_iaf needs Keras on TensorFlow, got the backend {keras.backend.backend()!r}: set KERAS_BACKEND=tensorflow before "
        "Keras is imported."
    )
