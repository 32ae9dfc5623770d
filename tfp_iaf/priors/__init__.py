"""Glue."""
import keras
import tensorflow as tf
import tensorflow_probability as tfp
from tfp_iaf.noise import gaussian_log_prob, standard_normal
from tfp_iaf._registered import deserialize

class Prior(keras.layers.Layer):
    def build(self, latent_shape):
        self.latent_shape = tuple(latent_shape)

@keras.saving.register_keras_serializable("tfp_iaf_glue")
class StandardNormal(Prior):
    def log_prob(self, z, condition=None):
        return tf.reduce_sum(gaussian_log_prob(z, tf.ones([], z.dtype)), axis=list(range(-len(self.latent_shape), 0)))
    def sample(self, n, seed, temperature=1.0, condition=None):
        return temperature * standard_normal(tf.concat([[n], self.latent_shape], 0), seed)

@keras.saving.register_keras_serializable("tfp_iaf_glue")
class Fixed(Prior):
    def __init__(self, distribution_fn, **kwargs):
        super().__init__(**kwargs)
        self.distribution_fn = distribution_fn
    def log_prob(self, z, condition=None):
        d = self.distribution_fn() if not isinstance(self.distribution_fn, tfp.distributions.Distribution) else self.distribution_fn
        return d.log_prob(z)
    def get_config(self):
        if isinstance(self.distribution_fn, tfp.distributions.Distribution):
            raise ValueError("register_keras_serializable")
        return {**super().get_config(), "distribution_fn": keras.saving.serialize_keras_object(self.distribution_fn)}
    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "distribution_fn": deserialize(config["distribution_fn"])})

def get(prior):
    prior = deserialize(prior)
    if prior is None:
        return StandardNormal()
    if isinstance(prior, Prior):
        return prior
    return Fixed(prior)
