"""Noise: seeds, standard normal numbers that do not depend on how they are compiled, and layers that draw them."""

from __future__ import annotations

import contextlib
import math
import threading
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf._arguments import given, layer_seed
from tfp_iaf._types import Seed, TensorLike
from tfp_iaf.layers import TrackedLayer

__all__ = ["SeededLayer", "gaussian_log_prob", "seed_pair", "standard_normal", "uniform"]

_lock = threading.Lock()
# Seeds are the two 32-bit words of a key.
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1


def standard_normal(shape: TensorLike, seed: tf.Tensor, dtype: Any = tf.float32) -> tf.Tensor:
    """Standard normal numbers, the same (to rounding) with and without XLA, on any device.

    ```none
    eps = sqrt(2) erfinv(2 u - 1)                                  with u from `uniform`
    ```

    TensorFlow's own `stateless_normal` makes other numbers of the same random bits under XLA, whatever its `alg`.

    Args:
        shape: of the result.
        seed: what `seed_pair` returned.
        dtype: float32 or float64.

    Raises:
        ValueError: for another dtype.

    >>> standard_normal([2, 3], seed=seed_pair(1)).shape
    TensorShape([2, 3])
    """
    return math.sqrt(2.0) * tf.math.erfinv(2.0 * uniform(shape, seed, dtype) - 1.0)


def uniform(shape: TensorLike, seed: tf.Tensor, dtype: Any = tf.float32) -> tf.Tensor:
    """Uniform numbers in (0, 1), neither 0 nor 1, the same with and without XLA, on any device.

    ```none
    u = midpoints of 2^23 (float64: 2^52) equal cells of (0, 1), from the bits of the Philox generator
    ```

    Args:
        shape: of the result.
        seed: what `seed_pair` returned.
        dtype: float32 or float64.

    Raises:
        ValueError: for another dtype.

    >>> u = uniform([1000], seed=seed_pair(1))
    >>> bool(tf.reduce_min(u) > 0.0), bool(tf.reduce_max(u) < 1.0)
    (True, True)
    """
    dtype = tf.as_dtype(dtype)
    if dtype not in (tf.float32, tf.float64):
        raise ValueError(f"Random numbers are float32 or float64, got dtype {dtype.name}: cast them.")
    bits_dtype, num_bits, kept = (tf.uint64, 64, 52) if dtype == tf.float64 else (tf.uint32, 32, 23)
    bits = tf.random.stateless_uniform(shape, seed, minval=None, maxval=None, dtype=bits_dtype, alg="philox")
    cell = tf.cast(tf.bitwise.right_shift(bits, tf.constant(num_bits - kept, bits_dtype)), dtype)
    return (cell + 0.5) * 2.0**-kept


def gaussian_log_prob(noise: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """log N(loc + scale * noise; loc, scale^2) of each entry, which does not depend on loc.

    >>> gaussian_log_prob(tf.zeros([2]), scale=tf.ones([2])).numpy().round(4)
    array([-0.9189, -0.9189], dtype=float32)
    """
    return -0.5 * tf.square(noise) - 0.5 * math.log(2.0 * math.pi) - tf.math.log(scale)


def seed_pair(seed: Seed) -> tf.Tensor:
    """The seed as an int32 tensor of shape [2]: an integer s stands for the pair [0, s].

    Args:
        seed: an integer or two integers, each in [-2^31, 2^31 - 1], as Python or NumPy numbers or as a tensor. A tensor of
            unsigned 32-bit integers passes bit by bit, and so does a tensor whose values are not known yet (inside a
            `tf.function`).

    Raises:
        ValueError: for anything else, such as a float or an integer that does not fit.

    >>> seed_pair(7).numpy(), seed_pair([3, 4]).numpy()
    (array([0, 7], dtype=int32), array([3, 4], dtype=int32))
    """
    if isinstance(seed, list | tuple) and len(seed) == 2 and any(tf.is_tensor(word) for word in seed):
        return tf.stack([seed_pair(word)[1] for word in seed])
    value: Any = seed
    if not isinstance(seed, tf.Tensor | tf.Variable):
        value = _as_array(seed)
    elif not value.dtype.is_integer:
        raise _seed_error(f"a tensor of dtype {value.dtype.name}")
    elif tf.executing_eagerly() and value.dtype not in (tf.int32, tf.uint32):
        value = value.numpy()
    if tf.TensorShape(value.shape).rank not in (None, 0) and not tf.TensorShape(value.shape).is_compatible_with([2]):
        raise _seed_error(f"shape {tuple(value.shape)}")
    is_known = isinstance(value, np.ndarray | np.generic) and value.dtype != np.uint32
    if is_known and np.any((value < _LOWEST) | (value > _HIGHEST)):
        raise _seed_error(" ".join(str(value).split()))
    words = tf.cast(value, tf.int32)
    return tf.stack([0, words]) if words.shape.rank == 0 else tf.ensure_shape(words, [2])


def _as_array(seed):
    try:
        value = np.asarray(seed)
    except ValueError:
        value = np.asarray(None)  # A ragged sequence.
    if value.dtype.kind not in "iu":
        raise _seed_error(given(seed))
    return value


def _seed_error(what):
    return ValueError(f"seed must be an integer or a pair of integers below 2**31, such as 0 or [0, 1], got {what}.")


class SeededLayer(TrackedLayer):
    """A layer with noise of its own: the state of its `keras.random.SeedGenerator` is saved with the weights; Keras saves none.

    Args:
        seed: integer seed of the noise, in [0, 2^32 - 1]; None draws one.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Raises:
        ValueError: for another seed.

    >>> layer = SeededLayer(seed=0)
    >>> bool(tf.reduce_all(layer.next_seed() == layer.next_seed()))
    False
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = layer_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def next_seed(self, seed: Seed | None = None) -> tf.Tensor:
        """An int32 tensor of shape [2]: the given seed as `seed_pair` reads it, or for None the generator's next.

        Eager calls of several threads get different ones. Inside a `tf.function` nothing keeps two runs at a time from reading
        the generator's state before either has moved it on: there, give each call a seed.
        """
        if seed is not None:
            return seed_pair(seed)
        with _lock if tf.executing_eagerly() else contextlib.nullcontext():
            seed = tf.cast(self.seed_generator.next(), tf.int32)
        # The generator's state is the same in all replicas of tf.distribute; their noise must not be.
        replica = tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return seed
        return tf.random.experimental.stateless_fold_in(seed, replica.replica_id_in_sync_group, alg="philox")

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        store["seed_generator_state"] = self.seed_generator.state.numpy()

    def load_own_variables(self, store: Any) -> None:
        store = {name: store[name] for name in store.keys()}  # noqa: SIM118 - an HDF5 group is no dict.
        self.seed_generator.state.assign(store.pop("seed_generator_state"))
        super().load_own_variables(store)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
