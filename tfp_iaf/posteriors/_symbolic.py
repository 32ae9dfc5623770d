"""What a functional Keras model knows of a posterior's outputs before there are any."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf._types import Shape
from tfp_iaf.noise import SeededLayer

__all__ = ["SymbolicLayer"]


class SymbolicLayer(SeededLayer):
    """The part of `Posterior` that works on shapes: it needs `event_shape`, `density_dtype` and `check_features_shape`."""

    @property
    def output(self) -> Any:
        # Keras takes the number of outputs of a layer's first symbolic call for that of every other: after a first call with
        # `value`, the single log_q, a functional model would miss the log_q of (z, log_q).
        first = super().output
        return first if isinstance(first, list) else [first, first]

    def compute_output_shape(
        self, features_shape: Shape, num_samples: int | None = None, value_shape: Shape | None = None
    ) -> tuple:
        """The shapes of (z, log_q), or with `value_shape` that of log_q."""
        self.check_features_shape(tuple(features_shape))
        batch = features_shape[:1]
        if value_shape is not None:
            leading = tuple(value_shape)[: -len(self.event_shape)]
            return tuple(tf.broadcast_static_shape(tf.TensorShape(leading), tf.TensorShape(batch)))
        leading = () if num_samples is None else (None if tf.is_tensor(num_samples) else num_samples,)
        return (*leading, *batch, *self.event_shape), (*leading, *batch)

    def compute_output_spec(
        self, features: Any, num_samples: Any = None, seed: Any = None, sample: Any = True, value: Any = None
    ) -> Any:
        shapes = self.compute_output_shape(np.shape(features), num_samples, None if value is None else np.shape(value))
        if value is not None:
            return keras.KerasTensor(shapes, self.density_dtype)
        return tuple(keras.KerasTensor(shape, self.density_dtype) for shape in shapes)
