"""The planar flow posterior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_iaf.bijectors import FlowBijector, Planar
from tfp_iaf.posteriors._amortized_chain import AmortizedChain

__all__ = ["PlanarFlow"]


@keras.saving.register_keras_serializable("tfp_iaf")
class PlanarFlow(AmortizedChain):
    """q(z|x) of a chain of K planar flows on a diagonal Gaussian sample; the features give all of their parameters.

    ```none
    y ~ N(loc(x), diag(scale(x)^2));   (u_k, w_k, b_k) read off the features
    z_k = z_{k-1} + v_k tanh(w_k' z_{k-1} + b_k), v_k made of u_k and w_k so that it can be inverted (see `bijectors.Planar`)
    ```

    A sample and its density take O(D) per flow after one linear layer with K (2 D + 1) outputs; the density of a given z takes
    a scalar root per flow. Each flow acts along one direction, so many are needed where many latents depend on each other.

    Args:
        latent_size: D.
        num_flows: K.
        **kwargs: `seed`, `name`, `dtype`, `trainable`.

    Call arguments, shapes and errors: see `Posterior`.

    Source: Rezende and Mohamed 2015, "Variational inference with normalizing flows", section 4.1.

    >>> posterior = PlanarFlow(latent_size=3, num_flows=4)
    >>> z, log_q = posterior(keras.ops.ones([5, 8]))
    >>> z.shape, log_q.shape
    (TensorShape([5, 3]), TensorShape([5]))
    """

    def __init__(self, latent_size: int, num_flows: int = 10, **kwargs: Any) -> None:
        super().__init__(latent_size, num_flows, **kwargs)

    @property
    def sizes(self) -> Sequence[int]:
        return self.latent_size, self.latent_size, 1

    @property
    def zero_at_identity(self) -> Sequence[bool]:
        return True, False, False

    def chain(self, parameters: tf.Tensor) -> list[FlowBijector]:
        u, w, b = tf.split(parameters, self.sizes, axis=-1)
        return Planar.unstack(u, w, tf.squeeze(b, axis=-1))
