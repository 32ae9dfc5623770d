"""Why this package exists: what `fit` does to the weights of its flows, and to those on TFP's own route."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf.posteriors import IAF

tfb = tfp.bijectors
tfd = tfp.distributions


class TFPRoutePosterior(keras.layers.Layer):
    """The IAF posterior a TFP user would write."""

    def __init__(self):
        super().__init__()
        self.base = keras.layers.Dense(6)
        self.network = tfb.AutoregressiveNetwork(2, event_shape=[3], hidden_units=[8], activation="relu")
        self.network(tf.zeros([1, 3]))

    def call(self, features):
        loc, scale = tf.split(self.base(features), 2, axis=-1)
        flow = tfb.Invert(tfb.MaskedAutoregressiveFlow(self.network))
        base = tfd.MultivariateNormalDiag(loc, tf.math.softplus(scale))
        return tfd.TransformedDistribution(base, flow).experimental_sample_and_log_prob(seed=[0, 1])

    def flow_weights(self):
        return self.network.trainable_variables


class OurPosterior(IAF):
    def __init__(self):
        super().__init__(3, hidden_units=(8,))

    def flow_weights(self):
        return [weight for network in self.networks for weight in network.trainable_weights]


class TinyVAE(keras.Model):
    """Written by hand, so that either posterior can stand in it."""

    def __init__(self, posterior):
        super().__init__()
        self.posterior = posterior
        self.decoder = keras.layers.Dense(5)

    def call(self, x):
        z, log_q = self.posterior(x)
        log_p = -0.5 * tf.reduce_sum(z * z, axis=-1) - 0.5 * tf.reduce_sum(tf.square(x - self.decoder(z)), axis=-1)
        return log_q - log_p

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return tf.reduce_mean(y_pred)


def train(posterior):
    """Which of the flow's weights the model lists, and which a fit moves, that moves the decoder."""
    model = TinyVAE(posterior)
    x = np.random.default_rng(0).normal(size=[64, 5]).astype(np.float32)
    model(x)
    model.compile(keras.optimizers.Adam(1e-2))
    before = [np.array(weight.numpy()) for weight in posterior.flow_weights()]
    decoder = model.decoder.kernel.numpy()
    model.fit(x, epochs=2, verbose=0)
    assert before
    assert np.abs(model.decoder.kernel.numpy() - decoder).max() > 0
    listed = {id(getattr(weight, "_value", weight)) for weight in model.trainable_weights}
    return {
        "listed": [id(getattr(weight, "_value", weight)) in listed for weight in posterior.flow_weights()],
        "moved": [np.abs(weight.numpy() - start).max() > 0 for weight, start in zip(posterior.flow_weights(), before)],
    }


def test_our_flow_is_listed_and_trains():
    assert all(all(flags) for flags in train(OurPosterior()).values())


def test_on_the_tfp_route_the_flow_is_not_listed_and_stays_at_its_initial_weights():
    assert not any(any(flags) for flags in train(TFPRoutePosterior()).values())
