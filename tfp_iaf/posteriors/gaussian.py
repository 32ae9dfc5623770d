"""Gaussian posteriors: of diagonal, and of full covariance."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import scales
from tfp_iaf._arguments import positive
from tfp_iaf._types import TensorLike
from tfp_iaf.bijectors import FlowBijector, LinearCholeskyIAF
from tfp_iaf.posteriors.base import Posterior

__all__ = ["DiagonalGaussian", "FullCovariance"]


@keras.saving.register_keras_serializable("tfp_iaf")
class DiagonalGaussian(Posterior):
    """q(z|x) = N(loc(x), diag(scale(x)^2)), the posterior of a plain VAE.

    Arguments, shapes and errors: see `Posterior`. A sample and its density cost one linear layer. Its `distribution` has mean,
    covariance (variance for latents with places), entropy and KL divergences in closed form.

    Source: Kingma and Welling 2014, appendix C.2.

    >>> posterior = DiagonalGaussian(latent_size=2)
    >>> z, log_q = posterior(keras.ops.ones([5, 8]))
    >>> z.shape, log_q.shape
    (TensorShape([5, 2]), TensorShape([5]))
    """


@keras.saving.register_keras_serializable("tfp_iaf")
class FullCovariance(Posterior):
    """q(z|x) = N(L(x) loc(x), L(x) diag(scale(x)^2) L(x)'): a diagonal sample y, then z = L(x) y.

    ```none
    L = I + N;   row N_i = u_i r / sqrt(r^2 + |u_i|^2)                       u read off the features, u = 0 at the start
    scale = softplus_scale(v) + f max_j (|loc_j| + softplus_scale(v_j))      v read off the features
    ```

    Since det L = 1, log q(z|x) = log q(y|x). Costs D (D - 1) / 2 outputs of a dense layer and a D x D product per row on top of
    the diagonal posterior; use it for D up to about 64. Its `distribution`, a `tfd.MultivariateNormalTriL`, has mean,
    covariance, entropy and KL divergences in closed form.

    Two bounds keep densities right in float32 whatever the features, to some thousandths of a nat at D = 64. The rows of N have
    a norm below r: without it, L is singular to float32 for features near 10. And scale_i is at least f max_j (|loc_j| +
    scale_j): below that, float32 could not tell y from loc. So z_i depends on the y before it with slopes of a norm below r,
    and the standard deviation of its own noise has that lower bound. Give the latents similar scales, or change the bounds.

    Args:
        latent_size: D, at least 2.
        row_norm: r, the bound of a row of L beside its 1.
        relative_scale: f.
        **kwargs: `seed`, `name`, `dtype`, `trainable`.

    Call arguments, shapes and errors: see `Posterior`.

    Source: Kingma et al. 2016, first version, section 4.1 ("linear IAF").

    >>> posterior = FullCovariance(latent_size=3)
    >>> distribution = posterior.distribution(keras.ops.ones([5, 8]))
    >>> distribution.covariance().shape, distribution.entropy().shape
    (TensorShape([5, 3, 3]), TensorShape([5]))
    """

    flow_initializer = "zeros"

    def __init__(self, latent_size: int, row_norm: float = 1.5, relative_scale: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(latent_size, **kwargs)
        if self.latent_size < 2:
            raise ValueError("FullCovariance needs a latent_size of at least 2, got 1: with one latent use DiagonalGaussian.")
        self.row_norm = positive("row_norm", row_norm)
        self.relative_scale = positive("relative_scale", relative_scale)

    @property
    def flow_size(self) -> int:
        return self.latent_size * (self.latent_size - 1) // 2

    def base_scale(self, loc: tf.Tensor, unconstrained: tf.Tensor) -> tf.Tensor:
        scale = super().base_scale(loc, unconstrained)
        return scale + self.relative_scale * tf.reduce_max(tf.abs(loc) + scale, axis=-1, keepdims=True)

    def flows(self, flow_inputs: tf.Tensor | None) -> list[FlowBijector]:
        rows = scales.bounded_rows(tfp.math.fill_triangular(flow_inputs), self.row_norm)
        return [LinearCholeskyIAF(tfp.math.fill_triangular_inverse(rows))]

    def distribution(self, features: TensorLike) -> tfp.distributions.Distribution:
        """q(z|x) as a `tfd.MultivariateNormalTriL` with batch_shape [B]."""
        chain = super().distribution(features)
        base, cholesky = chain.distribution, chain.bijector.bijectors[0].cholesky()
        return tfp.distributions.MultivariateNormalTriL(
            tf.linalg.matvec(cholesky, base.loc), cholesky * base.stddev()[..., tf.newaxis, :]
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "row_norm": self.row_norm, "relative_scale": self.relative_scale}
