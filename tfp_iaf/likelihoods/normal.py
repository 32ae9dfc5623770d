"""The normal likelihood of real data, and what standardized data are."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf._arguments import positive
from tfp_iaf.likelihoods._halves import doubled, halves
from tfp_iaf.likelihoods.base import Likelihood
from tfp_iaf.scales import bounded_log_scale

__all__ = ["Normal", "standardization_hint"]

tfd = tfp.distributions

# Means and standard deviations beyond these are called a raw scale.
LARGE = 20.0
SMALL = 0.01
MAX_ROWS = 4096
MAX_NUMBERS = 2**22


@keras.saving.register_keras_serializable("tfp_iaf")
class Normal(Likelihood):
    """Independent normal entries; the last axis of the parameters is twice that of x: first the locations, then the scale
    parameters. Short form: "normal".

    ```none
    x ~ N(u, scale^2),   log scale = b tanh(v / b),   b = log_scale_bound
    ```

    of a location u and a scale parameter v. At v = 0 the scale is 1; it stays within [exp(-b), exp(b)], for the default of 5
    within [0.0067, 148], so that no first step overflows. Give standardized data: mean 0 and standard deviation 1 per entry.

    Args:
        log_scale_bound: b; a larger one for data that are much more certain than their spread.

    Raises:
        ValueError: for a bound that is no positive number; for parameters whose last axis is odd.

    >>> Normal().distribution(tf.zeros([2, 6])).event_shape
    TensorShape([3])
    """

    needs_unbounded_parameters = True

    def __init__(self, log_scale_bound: float = 5.0) -> None:
        self.log_scale_bound = positive("log_scale_bound", log_scale_bound)

    def distribution(self, parameters: tf.Tensor) -> tfp.distributions.Distribution:
        loc, unconstrained = halves(parameters, "normal")
        scale = tf.exp(bounded_log_scale(unconstrained, self.log_scale_bound))
        return tfd.Independent(tfd.Normal(loc, scale), reinterpreted_batch_ndims=loc.shape.rank - 1)

    def mean(self, parameters: tf.Tensor) -> tf.Tensor:
        return halves(parameters, "normal")[0]

    def parameters_shape(self, data_shape: tuple[int, ...]) -> tuple[int, ...]:
        return doubled(data_shape)

    def hint(self, x: np.ndarray) -> str | None:
        return standardization_hint("The normal likelihood expects standardized data", x)

    def get_config(self) -> dict[str, Any]:
        return {"log_scale_bound": self.log_scale_bound}


def standardization_hint(expectation: str, x: np.ndarray) -> str | None:
    """One line that begins with `expectation` if the array x `[N, ...]` is far from mean 0 and standard deviation 1 per entry;
    None if it is not. The first rows are looked at, at most 4,096 and some four million numbers.

    >>> standardization_hint("The model expects standardized data", np.zeros([10, 2])) is None
    True
    """
    rows = max(2, min(MAX_ROWS, MAX_NUMBERS // max(1, math.prod(np.shape(x)[1:]))))
    x = np.asarray(x[:rows], np.float64)
    if len(x) < 2:
        return None
    mean, deviation = np.abs(x.mean(axis=0)).max(), x.std(axis=0).max()
    if mean <= LARGE and (SMALL <= deviation <= LARGE or deviation == 0.0):
        return None
    return (
        f"{expectation}, got means up to {mean:.2g} and standard deviations up to {deviation:.2g}: train on "
        "(x - x.mean(axis=0)) / x.std(axis=0), and undo it for what the model gives."
    )
