"""Gaussian posteriors: of diagonal, and of full covariance."""

import keras

from tfp_iaf.bijectors import LinearCholeskyIAF
from tfp_iaf.posteriors.base import Posterior

__all__ = ["DiagonalGaussian", "FullCovariance"]


@keras.saving.register_keras_serializable("tfp_iaf")
class DiagonalGaussian(Posterior):
    """q(z|x) = N(loc(x), diag(scale(x)^2)), the posterior of a plain VAE.

    Arguments, shapes and errors: see `Posterior`. A sample and its density cost one dense layer.

    Source: Kingma and Welling 2014, appendix C.2.

    >>> posterior = DiagonalGaussian(latent_size=2)
    >>> z, log_q = posterior(keras.ops.ones([5, 8]))
    >>> z.shape, log_q.shape
    (TensorShape([5, 2]), TensorShape([5]))
    """


@keras.saving.register_keras_serializable("tfp_iaf")
class FullCovariance(Posterior):
    """q(z|x) = N(L(x) loc(x), L(x) diag(scale(x)^2) L(x)'): a diagonal sample y, then z = L(x) y.

    L is unit lower triangular with its D (D - 1) / 2 entries read off the features, and starts at the identity. Since
    det L = 1, log q(z|x) = log q(y|x). Costs D (D - 1) / 2 outputs of a dense layer and a D x D product a row on top of the
    diagonal posterior; use it for D up to about 64.

    Arguments, shapes and errors: see `Posterior`; `latent_size` is at least 2.

    Source: Kingma et al. 2016, first version, section 4.1 ("linear IAF").

    >>> posterior = FullCovariance(latent_size=3)
    >>> posterior.distribution(keras.ops.ones([5, 8])).log_prob(keras.ops.zeros([5, 3])).shape
    TensorShape([5])
    """

    flow_initializer = "zeros"

    def __init__(self, latent_size, seed=None, **kwargs):
        super().__init__(latent_size, seed=seed, **kwargs)
        if self.latent_size < 2:
            raise ValueError("FullCovariance needs a latent_size of at least 2; with one latent use DiagonalGaussian.")

    @property
    def flow_size(self):
        return self.latent_size * (self.latent_size - 1) // 2

    def steps(self, flow_inputs):
        return [LinearCholeskyIAF(flow_inputs)]
