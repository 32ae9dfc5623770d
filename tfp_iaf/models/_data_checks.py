"""Checks of training data before they cost a training run."""

import numpy as np
import tensorflow as tf

__all__ = ["check_array", "checked_dataset", "reraise"]

_NOT_FINITE = "The data hold NaN or infinite values: clean them before training."
_NOT_BINARY = (
    "The Bernoulli likelihood takes data that are 0 or 1, got other values: binarize them, for instance with "
    "(x > 0.5), or use the normal likelihood."
)
_NOT_LEVELS = (
    "The discretized logistic likelihood takes data that are integers from 0 to 255, got other values: give it 8-bit levels, "
    "neither rescaled nor centred, and rescale them in the encoder."
)


def check_array(x, binary=False, levels=False):
    """Raises a ValueError if an array or tensor has non-finite entries, if `binary` entries other than 0 and 1, if `levels`
    entries other than the integers 0 to 255.
    """
    if getattr(x, "dtype", None) == tf.bfloat16:
        x = tf.cast(x, tf.float32)
    x = np.asarray(x)
    if not (np.issubdtype(x.dtype, np.number) or x.dtype == bool):
        raise ValueError(f"The data must be numbers, got dtype {x.dtype}.")
    if np.issubdtype(x.dtype, np.floating) and not np.isfinite(x).all():
        raise ValueError(_NOT_FINITE)
    if binary and not ((x == 0) | (x == 1)).all():
        raise ValueError(_NOT_BINARY)
    if levels and x.dtype != np.uint8 and not ((x >= 0) & (x <= 255) & (x == np.floor(x))).all():
        raise ValueError(_NOT_LEVELS)


def checked_dataset(dataset, binary=False, levels=False):
    """The same dataset, which raises on the first batch that `check_array` would refuse; see `reraise`."""

    def check(*element):
        x = element[0]
        if not tf.is_tensor(x):
            raise ValueError(f"The dataset must give tensors, or tuples that begin with one, got {type(x).__name__}.")
        assertions = []
        if x.dtype.is_floating:
            assertions.append(tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(x)), [_NOT_FINITE]))
        if binary:
            numbers = tf.cast(x, tf.float32)
            is_binary = tf.reduce_all(tf.equal(numbers * (1.0 - numbers), 0.0))
            assertions.append(tf.debugging.Assert(is_binary, [_NOT_BINARY]))
        if levels:
            numbers = tf.cast(x, tf.float64)
            is_level = (numbers >= 0.0) & (numbers <= 255.0) & tf.equal(numbers, tf.floor(numbers))
            with tf.control_dependencies(assertions):
                assertions.append(tf.debugging.Assert(tf.reduce_all(is_level), [_NOT_LEVELS]))
        with tf.control_dependencies(assertions):
            return tf.nest.map_structure(tf.identity, element if len(element) > 1 else x)

    return dataset.map(check, num_parallel_calls=1, deterministic=True)


def reraise(error):
    """Raises the one-line ValueError behind a TensorFlow error that came from a checked dataset; returns otherwise."""
    for message in (_NOT_FINITE, _NOT_BINARY, _NOT_LEVELS):
        if message in str(error):
            raise ValueError(message) from None
