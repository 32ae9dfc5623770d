"""A value that changes with the values of variables."""

import tensorflow as tf

__all__ = ["fingerprint"]


def fingerprint(variables):
    """64-bit hashes of the rows of all variables, as a tuple of bytes; only in eager mode, for variables with an axis.

    TensorFlow's variables do not tell when they have changed. Takes one fast pass over the values.

    >>> weight = tf.Variable([1.0, 2.0])
    >>> before = fingerprint([weight])
    >>> weight = weight.assign([2.0, 1.0])
    >>> fingerprint([weight]) == before
    False
    """
    hashes = (tf.raw_ops.Fingerprint(data=variable.read_value(), method="farmhash64") for variable in variables)
    return tuple(hashed.numpy().tobytes() for hashed in hashes)
