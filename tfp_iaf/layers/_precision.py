"""The dtype of densities."""

__all__ = ["density_dtype"]


def density_dtype(layer):
    """The dtype of a layer's log-probabilities: its variables', but at least float32.

    A policy in bfloat16 or float16 makes the networks cheaper; samples and densities built on them keep float32.

    >>> import keras
    >>> density_dtype(keras.layers.Dense(1, dtype="bfloat16")), density_dtype(keras.layers.Dense(1, dtype="float64"))
    ('float32', 'float64')
    """
    return "float64" if layer.variable_dtype == "float64" else "float32"
