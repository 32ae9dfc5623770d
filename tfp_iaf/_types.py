"""The types that many signatures name."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

__all__ = ["Data", "Identifier", "InputOrder", "Seed", "Shape", "TensorLike"]

# What TensorFlow converts to a tensor.
TensorLike: TypeAlias = tf.types.experimental.TensorLike

# An integer, or a pair of integers: what `noise.seed_pair` takes.
Seed: TypeAlias = int | Sequence[int] | np.ndarray | tf.Tensor

# Sizes of axes, with None for one that is not known, such as the batch.
Shape: TypeAlias = Sequence[int | None]

# What a model's `fit` takes: arrays, tensors, DataFrames, lists, datasets, generators; or a tuple (x, condition).
Data: TypeAlias = Any

# An activation, initializer, regularizer or constraint of Keras: its name, its config, or itself.
Identifier: TypeAlias = str | dict[str, Any] | Callable | None

# The name of an order, or the places of the entries in it.
InputOrder: TypeAlias = str | Sequence[int] | np.ndarray
