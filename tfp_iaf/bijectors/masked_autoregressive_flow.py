"""The masked autoregressive flow: the same bijector, parallel in the other direction."""

from __future__ import annotations

import tensorflow as tf

from tfp_iaf._types import TensorLike
from tfp_iaf.bijectors import inverses, maps
from tfp_iaf.bijectors.inverse_autoregressive_flow import InverseAutoregressiveFlow
from tfp_iaf.networks import Network

__all__ = ["MaskedAutoregressiveFlow"]


class MaskedAutoregressiveFlow(InverseAutoregressiveFlow):
    """The inverse of `InverseAutoregressiveFlow`: the density of given data takes one network evaluation, a sample the search.

    ```none
    inverse (one network evaluation):  y = f(x; network(x, context))                     data -> noise
    forward (see `inverses`):          the x with f(x; network(x, context)) = y          noise -> data
    log|det dx/dy|                     = -sum_i log f'(x_i; parameters_i)
    ```

    For density estimation by maximum likelihood, in place of `tfb.MaskedAutoregressiveFlow`, whose `trainable_variables` lack
    the weights of a Keras 3 network; TFP may also confuse two such flows inside `fit`.

    Arguments, shapes, errors: see `InverseAutoregressiveFlow`. ("affine" is y = (x - shift) exp(-log_scale), which is TFP's
    x = y exp(log_scale) + shift.)

    Source: Papamakarios et al. 2017, "Masked autoregressive flow for density estimation", equations 3 and 4.

    >>> import tensorflow as tf, tensorflow_probability as tfp
    >>> from tfp_iaf import networks
    >>> flow = MaskedAutoregressiveFlow(networks.AutoregressiveNetwork(params=2, event_shape=3, hidden_units=(16,)))
    >>> p = tfp.distributions.TransformedDistribution(tfp.distributions.MultivariateNormalDiag(tf.zeros([3])), flow)
    >>> p.log_prob(tf.ones([5, 3])).shape, len(p.trainable_variables)
    (TensorShape([5]), 4)
    """

    def __init__(
        self,
        network: Network,
        context: TensorLike | None = None,
        bijector_fn: maps.MapLike = "affine",
        inverse: str | inverses.Inverse = "auto",
        validate_args: bool = False,
        name: str = "masked_autoregressive_flow",
    ) -> None:
        super().__init__(
            network, context=context, bijector_fn=bijector_fn, inverse=inverse, validate_args=validate_args, name=name
        )

    def forward_and_log_det(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x, log_det = super().inverse_and_log_det(y)
        return x, -log_det

    def inverse_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        y, log_derivatives = super().forward_and_log_derivatives(x)
        return y, -self._sum_over_event(log_derivatives)
