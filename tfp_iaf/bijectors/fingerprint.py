"""A number that changes with the values of variables."""

import tensorflow as tf

__all__ = ["fingerprint"]

_INTEGERS = {2: tf.int16, 4: tf.int32, 8: tf.int64}
# Two odd numbers: products with them, modulo 2^64, keep values apart.
_STRIDE, _STEP = 0x9E3779B97F4A7C15 - 2**64, 0x2545F4914F6CDD1D


def fingerprint(variables):
    """A hash of the bits of all values, an int; only in eager mode.

    TensorFlow's variables do not tell when they have changed. A change of one value changes the hash for certain, of
    several with a probability of about 1 - 2^-64. Takes one pass over the values.

    >>> weight = tf.Variable([1.0, 2.0])
    >>> before = fingerprint([weight])
    >>> weight.assign([2.0, 1.0]) is None or fingerprint([weight]) == before
    False
    """
    total = 0
    for variable in variables:
        bits = tf.cast(tf.bitcast(tf.reshape(variable, [-1]), _INTEGERS[variable.dtype.size]), tf.int64)
        factors = tf.bitwise.bitwise_or(tf.range(1, tf.size(bits, tf.int64) + 1) * _STRIDE, tf.ones([], tf.int64))
        total = total * _STEP + int(tf.reduce_sum(bits * factors))
    return total % 2**64
