"""Standard normal noise that does not depend on how it is compiled, and the density of what is made of it."""

import math

import tensorflow as tf

__all__ = ["gaussian_log_prob", "standard_normal"]


def standard_normal(shape, seed, dtype=tf.float32):
    """Standard normal numbers, the same (to rounding) with and without XLA, on any device.

    TensorFlow's own `stateless_normal` makes other numbers of the same random bits under XLA, whatever its `alg`. Here the
    bits of the Philox generator become the midpoints u of 2^23 (float64: 2^52) equal cells of (-1, 1), and
    eps = sqrt(2) erfinv(u).

    Args:
        shape: of the result.
        seed: integer tensor of shape [2].
        dtype: float32 or float64.

    >>> standard_normal([2, 3], seed=[0, 1]).shape
    TensorShape([2, 3])
    """
    bits_dtype, num_bits, kept = (tf.uint64, 64, 52) if dtype == tf.float64 else (tf.uint32, 32, 23)
    bits = tf.random.stateless_uniform(shape, seed, minval=None, maxval=None, dtype=bits_dtype, alg="philox")
    cell = tf.cast(tf.bitwise.right_shift(bits, tf.constant(num_bits - kept, bits_dtype)), dtype)
    return math.sqrt(2.0) * tf.math.erfinv((cell + 0.5) * 2.0 ** (1 - kept) - 1.0)


def gaussian_log_prob(noise, scale):
    """log N(loc + scale * noise; loc, scale^2) of each entry, which does not depend on loc.

    >>> gaussian_log_prob(tf.zeros([2]), scale=tf.ones([2])).numpy().round(4)
    array([-0.9189, -0.9189], dtype=float32)
    """
    return -0.5 * tf.square(noise) - 0.5 * math.log(2.0 * math.pi) - tf.math.log(scale)
