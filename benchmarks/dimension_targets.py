"""Curved densities of any dimension, whose gap per dimension to a Gaussian does not depend on it."""

import math

import numpy as np
import tensorflow as tf

FAMILIES = ("in_family", "maf_direction", "permuted")
# Of the waves, so that the best diagonal Gaussian stays 0.2 to 0.35 nats per dimension away.
AMPLITUDE, FREQUENCY = 2.0, 1.0


class Tree:
    """Entries on a binary tree, each bent by its parent, with noise e ~ N(0, I).

    ```none
    in_family       z_i = e_i + a cos(f e_parent(i))      one affine IAF in this order
    maf_direction   z_i = e_i + a cos(f z_parent(i))      the same in the opposite direction
    permuted        as in_family, with the entries in another order
    ```

    All have log det 0. Entries with one parent are correlated, which a Gaussian of full covariance can follow; it cannot follow
    the bends.

    Args:
        size: D.
        family: one of `FAMILIES`.
    """

    def __init__(self, size, family):
        self.size, self.family = size, family
        self._parents = np.maximum((np.arange(size) - 1) // 2, 0)
        # Of each level of the tree: its first entry, and the one after its last.
        self._levels = [(2**k - 1, min(2 ** (k + 1) - 1, size)) for k in range(size.bit_length()) if 2**k - 1 < size]
        order = np.random.default_rng(0).permutation(size) if family == "permuted" else np.arange(size)
        self._order, self._back = order, np.argsort(order)

    def _bend(self, values, first, last):
        """What the parents add to the entries of a level."""
        if first == 0:
            return 0.0
        return AMPLITUDE * tf.cos(FREQUENCY * tf.gather(values, self._parents[first:last], axis=1))

    def log_prob(self, z):
        """log p(z) of z `[N, D]`, `[N]`."""
        return -0.5 * tf.reduce_sum(self.noise(z) ** 2, axis=1) - 0.5 * self.size * math.log(2.0 * math.pi)

    def noise(self, z):
        """The noise e that z `[N, D]` comes from."""
        z = tf.gather(z, self._back, axis=1)
        noise = z[:, :0]
        for first, last in self._levels:
            known = z if self.family == "maf_direction" else noise
            level = z[:, first:last]
            noise = tf.concat([noise, level - self._bend(known, first, last)], axis=1)
        return noise

    def sample(self, count, seed):
        """`[count, D]`, by a pair of integers."""
        noise = tf.random.stateless_normal([count, self.size], seed)
        z = noise[:, :0]
        for first, last in self._levels:
            known = z if self.family == "maf_direction" else noise
            level = noise[:, first:last]
            z = tf.concat([z, level + self._bend(known, first, last)], axis=1)
        return tf.gather(z, self._order, axis=1)
