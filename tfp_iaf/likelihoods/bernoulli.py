"""The Bernoulli likelihood of binary data."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf.likelihoods._halves import decoder_output
from tfp_iaf.likelihoods.base import Likelihood

__all__ = ["Bernoulli"]

tfd = tfp.distributions


@keras.saving.register_keras_serializable("tfp_iaf")
class Bernoulli(Likelihood):
    """Independent binary entries; the parameters are their logits, of x's shape. Short form: "bernoulli".

    ```none
    p(x = 1) = sigmoid(parameters)
    ```

    The decoder ends in a linear layer: a sigmoid is part of the likelihood already.

    Raises:
        ValueError: from `check`, for data other than 0 and 1.

    >>> Bernoulli().distribution(tf.zeros([2, 28, 28])).log_prob(tf.ones([2, 28, 28])).shape
    TensorShape([2])
    """

    needs_unbounded_parameters = True
    data_range = (0.0, 1.0)
    standardization = (0.5, 0.5)

    def distribution(self, parameters: tf.Tensor) -> tfp.distributions.Distribution:
        if not (isinstance(parameters, tf.Tensor) and parameters.dtype.is_floating and parameters.shape.rank):
            parameters = decoder_output(parameters, "bernoulli")
        bits = tfd.Bernoulli(logits=parameters, dtype=parameters.dtype)
        return tfd.Independent(bits, reinterpreted_batch_ndims=parameters.shape.rank - 1)

    def mean(self, parameters: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(decoder_output(parameters, "bernoulli"))

    def parameters_shape(self, data_shape: tuple[int, ...]) -> tuple[int, ...]:
        return data_shape

    def check(self, x: np.ndarray) -> None:
        super().check(x)
        x = np.asarray(x)
        if x.dtype != bool and not np.logical_or(x == 0, x == 1).all():
            raise ValueError(
                "The Bernoulli likelihood takes data that are 0 or 1, got other values: binarize them, for instance with "
                "(x > 0.5), or use the normal likelihood."
            )

    def is_valid(self, x: tf.Tensor) -> tf.Tensor:
        return self.of_examples((x == 0) | (x == 1))
