"""The discretized logistic likelihood of 8-bit data."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf.likelihoods._discretized_logistic_distribution import DiscretizedLogisticDistribution
from tfp_iaf.likelihoods._halves import doubled, halves
from tfp_iaf.likelihoods.base import Likelihood
from tfp_iaf.scales import bounded_log_scale

__all__ = ["DiscretizedLogistic"]

tfd = tfp.distributions

# 26 of 256 levels at the start; from a sixteenth of a level, one certain level, to 40 times the whole range, where only the
# outer levels are left.
START_LOG_SCALE = math.log(0.1)
LOG_SCALE_BOUND = 6.0


@keras.saving.register_keras_serializable("tfp_iaf")
class DiscretizedLogistic(Likelihood):
    """Independent 8-bit levels, the integers 0 to 255; the last axis of the parameters is twice that of x: first the C
    locations, then the C scale parameters. Short form: "discretized_logistic".

    ```none
    P(k) = F((k + 1)/256) - F(k/256),   F(x) = sigmoid((x - loc)/scale),   k = 0..255,   F(0) := 0,   F(1) := 1
    loc = 1/2 + u,   log scale = log 0.1 + b tanh(v / b),   b = 6
    ```

    of a location parameter u and a scale parameter v: at 0 the middle of the range and a scale of 26 levels; scales stay
    within [0.06, 10^4] levels. End a decoder with `layers.ChannelLogScale()` for one learned scale per channel. The encoder
    gets the levels as they are: begin it with `keras.layers.Rescaling(1 / 127.5, -1)`.

    Raises:
        ValueError: from `check`, for data other than the integers 0 to 255; for parameters whose last axis is odd.

    Source: Kingma et al. 2016, the likelihood of the CIFAR-10 model.

    >>> likelihood = DiscretizedLogistic()
    >>> likelihood.distribution(tf.zeros([2, 8, 8, 6])).event_shape
    TensorShape([8, 8, 3])
    >>> likelihood.mean(tf.zeros([2, 8, 8, 6]))[0, 0, 0].numpy().round(2)
    array([127.5, 127.5, 127.5], dtype=float32)
    """

    needs_unbounded_parameters = True
    data_range = (0.0, 255.0)
    standardization = (127.5, 64.0)

    def distribution(self, parameters: tf.Tensor) -> tfp.distributions.Distribution:
        loc, unconstrained = halves(parameters, "discretized_logistic")
        log_scale = START_LOG_SCALE + bounded_log_scale(unconstrained, LOG_SCALE_BOUND)
        levels = DiscretizedLogisticDistribution(0.5 + loc, log_scale)
        return tfd.Independent(levels, reinterpreted_batch_ndims=loc.shape.rank - 1)

    def mean(self, parameters: tf.Tensor) -> tf.Tensor:
        return self.distribution(parameters).mean()

    def parameters_shape(self, data_shape: tuple[int, ...]) -> tuple[int, ...]:
        return doubled(data_shape)

    def check(self, x: np.ndarray) -> None:
        super().check(x)
        x = np.asarray(x)
        if x.dtype != np.uint8 and not ((x >= 0) & (x <= 255) & (x == np.floor(x))).all():
            raise ValueError(
                "The discretized logistic likelihood takes data that are integers from 0 to 255, got other values: give it "
                "8-bit levels, neither rescaled nor centred, and rescale them in the encoder."
            )

    def is_valid(self, x: tf.Tensor) -> tf.Tensor:
        x = tf.cast(x, tf.float64)
        return self.of_examples((x >= 0.0) & (x <= 255.0) & (x == tf.floor(x)))

    def hint(self, x: np.ndarray) -> str | None:
        if len(x) > 1 and x.max() <= 1:
            return (
                "The discretized logistic likelihood takes 8-bit levels from 0 to 255, got none above 1: multiply binary or "
                "rescaled data by 255, or use the Bernoulli likelihood."
            )
        return None
