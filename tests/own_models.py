"""Models that a user might write: subclasses of `models.ElboModel`, outside the package."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf.models import ElboModel

tfd = tfp.distributions

LOADINGS = np.array([[1.0, 0.0], [0.5, -1.0], [0.0, 2.0]], np.float32)
SCALE = 0.5


def normal(loc):
    return tfd.MultivariateNormalDiag(loc, SCALE * tf.ones_like(loc))


class LinearGaussian(ElboModel):
    """z ~ N(0, I), x ~ N(W z, 0.5^2 I), with its exact posterior: every importance weight is p(x). Only `elbo_terms`."""

    def __init__(self):
        super().__init__(likelihood=normal)

    def posterior(self, x):
        precision = np.eye(2) + LOADINGS.T @ LOADINGS / SCALE**2
        covariance = np.linalg.inv(precision).astype(np.float32)
        loc = tf.einsum("ij,bj->bi", tf.constant(covariance @ LOADINGS.T / SCALE**2), x)
        return tfd.MultivariateNormalTriL(loc, tf.constant(np.linalg.cholesky(covariance)))

    def prior(self):
        return tfd.MultivariateNormalDiag(tf.zeros([2]))

    def decoded(self, z):
        return tf.einsum("ij,bj->bi", tf.constant(LOADINGS), z)

    def elbo_terms(self, x, num_samples=1, seed=None, training=None):
        x = self.as_input(x)
        q = self.posterior(x)
        z = q.sample(num_samples, seed=seed)
        reconstruction = self.log_likelihood_of(x, self.decoded(tf.reshape(z, [-1, 2])), num_samples)
        return {"reconstruction": reconstruction, "kl": q.log_prob(z) - self.prior().log_prob(z)}

    @staticmethod
    def log_prob(x):
        """log p(x), in closed form."""
        covariance = LOADINGS @ LOADINGS.T + SCALE**2 * np.eye(3)
        return tfd.MultivariateNormalTriL(np.zeros(3), np.linalg.cholesky(covariance)).log_prob(x).numpy()


class WholeLinearGaussian(LinearGaussian):
    """The same with all that `serving.export` asks for but a density of given latents."""

    def latent_specs(self):
        return tf.TensorSpec((None, 2), tf.float32, name="z")

    def posterior_sample(self, x, seed=None):
        q = self.posterior(self.as_input(x))
        z = q.sample(seed=seed)
        return z, q.log_prob(z)

    def prior_sample(self, num_samples, seed, temperature=1.0, condition=None):
        return temperature * self.prior().sample(num_samples, seed=seed)

    def decode(self, z, condition=None, training=False):
        return self.decoded(z)


def conditional_vae(posterior):
    """A small VAE of 6 bits, conditioned on 3 numbers."""
    from tfp_iaf import VAE

    keras.utils.set_random_seed(0)
    x, z, condition = keras.Input([6]), keras.Input(posterior.event_shape), keras.Input([3])
    encoder = keras.Model([x, condition], keras.layers.Dense(8, "elu")(keras.layers.Concatenate()([x, condition])))
    decoder = keras.Model([z, condition], keras.layers.Dense(6)(keras.layers.Concatenate()([z, condition])))
    model = VAE(encoder, posterior, decoder)
    model.build(((None, 6), (None, 3)))
    return model
