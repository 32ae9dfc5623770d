"""A VAE whose posterior follows the gradient of log p(x, z), written on public contracts alone; see `hamiltonian_vae.py`."""

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import bijectors, models, noise, posteriors, priors


def mlp(widths, activation):
    return [keras.layers.Dense(width, activation) for width in widths]


class Momentum(keras.layers.Layer):
    """A Gaussian density of the momentum v given [features, z]; it draws v, or scores a given one."""

    def __init__(self, latent_size, hidden_units, activation, seed):
        super().__init__()
        self.hidden = keras.Sequential([keras.layers.Concatenate(), *mlp(hidden_units, activation)])
        self.gaussian = posteriors.DiagonalGaussian(latent_size, seed=seed)

    def call(self, features_and_z, seed=None, value=None):
        return self.gaussian(self.hidden(features_and_z), seed=seed, value=value)


@keras.saving.register_keras_serializable("tfp_iaf_examples")
class HamiltonianVAE(models.ElboModel):
    """A VAE that moves z by leapfrogs along log p(x, z), its momentum refreshed T times.

    Importance weights with this "log q" are unbiased, so `evaluation.log_likelihood` holds. But it is no density of z, which
    is not known: `posterior_log_prob` refuses, and exports lack it.

    Args:
        example_shape: of one x.
        latent_size: D.
        hidden_units: widths of the encoder's hidden layers; the decoder mirrors them.
        momentum_hidden_units: widths of the hidden layers of the densities q and r of each momentum.
        leapfrog_steps: the number of leapfrogs per refreshment.
        refreshments: T; 0 for the diagonal Gaussian alone.
        step_size: of the leapfrogs at the start; it is trained, for each refreshment and each entry of z.
        seed: integer seed of the noise; None draws one.
        likelihood: of x.
        activation: of all hidden layers; none that is linear in pieces, as relu, since training takes second derivatives.
    """

    def __init__(
        self,
        example_shape,
        latent_size,
        hidden_units=(128,),
        momentum_hidden_units=(64,),
        leapfrog_steps=4,
        refreshments=1,
        step_size=0.1,
        seed=None,
        likelihood="bernoulli",
        activation="softplus",
        **kwargs,
    ):
        super().__init__(likelihood, **kwargs)
        self.config = {
            "example_shape": list(example_shape),
            "latent_size": latent_size,
            "hidden_units": list(hidden_units),
            "momentum_hidden_units": list(momentum_hidden_units),
            "leapfrog_steps": leapfrog_steps,
            "refreshments": refreshments,
            "step_size": step_size,
            "seed": seed,
            "activation": activation,
        }
        self.latent_size, self.leapfrog_steps, self.refreshments = latent_size, leapfrog_steps, refreshments
        output = [keras.layers.Dense(int(np.prod(example_shape))), keras.layers.Reshape(example_shape)]
        self.encoder = keras.Sequential([keras.layers.Flatten(), *mlp(hidden_units, activation)])
        self.decoder = keras.Sequential([*mlp(hidden_units[::-1], activation), *output])
        self.prior = priors.StandardNormal()
        self.prior.build((latent_size,))
        seeds = [None if seed is None else seed + k for k in range(1 + refreshments)]
        self.posterior = posteriors.DiagonalGaussian(latent_size, seed=seeds[0])
        self.momenta = [Momentum(latent_size, momentum_hidden_units, activation, seed) for seed in seeds[1:]]
        self.reverse_momenta = [Momentum(latent_size, momentum_hidden_units, activation, seed) for seed in seeds[1:]]
        self.log_step_sizes = self.add_weight(
            shape=(refreshments, latent_size), initializer=keras.initializers.Constant(np.log(step_size)), name="log_step_sizes"
        )

    def elbo_terms(self, x, num_samples=1, seed=None, training=None):
        x = self.as_input(x)
        z, log_q = self.draw(x, num_samples, seed, training)
        parameters = self.decode(z, training=training)
        return {
            "reconstruction": self.log_likelihood_of(x, parameters, num_samples),
            "kl": tf.reshape(log_q - self.prior.log_prob(z), [num_samples, -1]),
        }

    def draw(self, x, num_samples=1, seed=None, training=None):
        """z_T `[S * B, D]`, and `[S * B]` what stands for log q(z | x) in the bound, the log q of all draws minus log r."""
        seeds = [None] * (1 + self.refreshments)
        if seed is not None:
            seed = noise.seed_pair(seed)
            seeds = [tf.random.experimental.stateless_fold_in(seed, k, alg="philox") for k in range(len(seeds))]
        features = self.encoder(x, training=training)
        z, log_q = self.posterior(features, num_samples=num_samples, seed=seeds[0])
        z, log_q = tf.reshape(z, [-1, self.latent_size]), tf.reshape(log_q, [-1])
        x, features = self.repeated(x, num_samples), self.repeated(features, num_samples)
        for t in range(self.refreshments):
            v, log_q_of_v = self.momenta[t]([features, z], seed=seeds[t + 1])
            z, v = self.leapfrogs(x, z, v, tf.exp(self.log_step_sizes[t]))
            log_q += log_q_of_v - self.reverse_momenta[t]([features, z], value=v)
        return z, log_q

    def leapfrogs(self, x, z, v, step_size):
        """(z, v) moved along log p(x, z), which preserves volume."""

        def log_joint(z):
            return self.log_likelihood_of(x, self.decode(z), 1)[0] + self.prior.log_prob(z)

        flow = bijectors.HamiltonianFlow(log_joint, step_size, self.leapfrog_steps)
        return tf.split(flow.forward_and_log_det(tf.concat([z, v], axis=-1))[0], 2, axis=-1)

    def decode(self, z, condition=None, training=False):
        return tf.cast(self.decoder(z, training=training), self.density_dtype)

    def latent_specs(self):
        return tf.TensorSpec((None, self.latent_size), self.density_dtype, name="z")

    def posterior_sample(self, x, seed=None):
        return self.draw(self.as_input(x), seed=seed)

    def prior_sample(self, num_samples, seed, temperature=1.0, condition=None):
        return self.prior.sample(num_samples, seed, temperature)

    def get_config(self):
        return {**super().get_config(), **self.config}
