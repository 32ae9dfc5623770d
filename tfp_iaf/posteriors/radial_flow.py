"""The radial flow posterior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_iaf.bijectors import FlowBijector, Radial
from tfp_iaf.posteriors._amortized_chain import AmortizedChain

__all__ = ["RadialFlow"]


@keras.saving.register_keras_serializable("tfp_iaf")
class RadialFlow(AmortizedChain):
    """q(z|x) of a chain of K radial flows on a diagonal Gaussian sample; the features give all of their parameters.

    ```none
    y ~ N(loc(x), diag(scale(x)^2));   (center_k, width_k, slope_k) read off the features
    z_k = c_k + (z_{k-1} - c_k) (s_k + r) / (a_k + r),   r = |z_{k-1} - c_k|      (see `bijectors.Radial`)
    ```

    A sample and its density take O(D) per flow after one linear layer with K (D + 2) outputs, and so does the density of a
    given z. Each flow expands or contracts around one center.

    Args:
        latent_size: D.
        num_flows: K.
        **kwargs: `seed`, `name`, `dtype`, `trainable`.

    Call arguments, shapes and errors: see `Posterior`.

    Source: Rezende and Mohamed 2015, "Variational inference with normalizing flows", section 4.1.

    >>> posterior = RadialFlow(latent_size=3, num_flows=4)
    >>> z, log_q = posterior(keras.ops.ones([5, 8]))
    >>> z.shape, log_q.shape
    (TensorShape([5, 3]), TensorShape([5]))
    """

    def __init__(self, latent_size: int, num_flows: int = 10, **kwargs: Any) -> None:
        super().__init__(latent_size, num_flows, **kwargs)

    @property
    def sizes(self) -> Sequence[int]:
        return self.latent_size, 1, 1

    @property
    def zero_at_identity(self) -> Sequence[bool]:
        return False, True, True

    def chain(self, parameters: tf.Tensor) -> list[FlowBijector]:
        center, width, slope = tf.split(parameters, self.sizes, axis=-1)
        stacked = (center, -2), (tf.squeeze(width, axis=-1), -1), (tf.squeeze(slope, axis=-1), -1)
        return [Radial(*values) for values in zip(*(tf.unstack(value, axis=axis) for value, axis in stacked))]
