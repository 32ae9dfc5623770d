"""Subclasses of the models that add layers, weights and metrics of their own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf import VAE, ConditionalDensity, HierarchicalVAE, models, posteriors

X = np.random.default_rng(0).integers(0, 2, size=[24, 4, 4, 1]).astype("uint8")


class WithHead:
    """A model with a classifier on its latents and a weight of its own, whose losses `fit` adds."""

    def add_parts(self):
        self.head = keras.layers.Dense(3)
        self.shift = self.add_weight(shape=(2,), initializer="ones", name="shift")
        self.norm = keras.metrics.Mean(name="norm")

    def elbo_terms(self, x, num_samples=1, seed=None, training=None, **kwargs):
        terms = super().elbo_terms(x, num_samples, seed, training, **kwargs)
        z = terms["z"][0] if isinstance(terms["z"], list) else terms["z"]
        outputs = self.head(tf.reshape(z, [-1, z.shape[-1]]))
        self.norm.update_state(tf.norm(outputs))
        self.add_loss(tf.reduce_mean(tf.square(outputs - 1.0)) + tf.reduce_sum(tf.square(self.shift)))
        return terms

    def get_config(self):
        return {"dtype": self.dtype_policy}


@keras.saving.register_keras_serializable("tests")
class VAEWithHead(WithHead, VAE):
    def __init__(self, **kwargs):
        encoder = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(8, "elu")])
        decoder = keras.Sequential([keras.layers.Dense(16), keras.layers.Reshape([4, 4, 1])])
        super().__init__(encoder, posteriors.IAF(2, hidden_units=(8,)), decoder, **kwargs)
        self.add_parts()


@keras.saving.register_keras_serializable("tests")
class HierarchicalVAEWithHead(WithHead, HierarchicalVAE):
    def __init__(self, **kwargs):
        super().__init__((4, 4, 1), num_layers=(1,), filters=4, latent_channels=2, likelihood="bernoulli", **kwargs)
        self.add_parts()


@pytest.mark.parametrize("model_type", [VAEWithHead, HierarchicalVAEWithHead])
def test_parts_of_a_subclass_are_trained_and_saved(model_type, tmp_path):
    model = model_type()
    model.compile(keras.optimizers.Adam(0.1))
    history = model.fit(X, batch_size=8, epochs=2, verbose=0).history
    assert "norm" in history
    assert model.head.built
    assert np.all(model.shift.numpy() < 0.8)
    before = model.head.kernel.numpy()
    model.fit(X, batch_size=8, verbose=0)
    assert np.abs(model.head.kernel.numpy() - before).max() > 0.0
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    other = model_type()
    if isinstance(other, VAE):
        other.build((None, 4, 4, 1))
    other.load_weights(tmp_path / "model.weights.h5")
    checkpoint = tf.train.Checkpoint(model=model).save(str(tmp_path / "checkpoint"))
    restored = model_type()
    restored.compile(keras.optimizers.Adam(0.1))
    restored.fit(X, batch_size=8, verbose=0)
    tf.train.Checkpoint(model=restored).restore(checkpoint).assert_existing_objects_matched()
    for another in (loaded, other, restored):
        assert len(another.weights) == len(model.weights)
        for weight, expected in zip(another.weights, model.weights):
            np.testing.assert_array_equal(weight, expected, err_msg=weight.path)
    # The optimizer's state too: training goes on.
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    loaded.fit(X, batch_size=8, verbose=0)


def test_a_subclass_that_forgets_training_is_told():
    class Forgetful(VAEWithHead):
        def elbo_terms(self, x, num_samples=1, seed=None, training=None, **kwargs):
            return super().elbo_terms(x, num_samples, seed, **kwargs)

    model = Forgetful()
    model.compile()
    with pytest.raises(
        ValueError, match=r"Forgetful.elbo_terms must return log_q in training, got .*: pass its argument"
    ) as error:
        model.fit(X, batch_size=8, verbose=0)
    assert "\n" not in str(error.value)


@keras.saving.register_keras_serializable("tests")
class TrainedWithHead(VAEWithHead):
    """The head is called in training alone."""

    def elbo_terms(self, x, num_samples=1, seed=None, training=None, **kwargs):
        terms = VAE.elbo_terms(self, x, num_samples, seed, training, **kwargs)
        if training:
            self.add_loss(tf.reduce_mean(tf.square(self.head(terms["z"]))) + tf.reduce_sum(tf.square(self.shift)))
        return terms


@keras.saving.register_keras_serializable("tests")
class DensityWithHead(ConditionalDensity):
    def __init__(self, **kwargs):
        super().__init__(keras.layers.Dense(4), posteriors.IAF(2, hidden_units=(8,)), **kwargs)
        self.head = keras.layers.Dense(3)

    def call(self, x, training=None):
        self.add_loss(tf.reduce_mean(tf.square(self.head(self.split(x)[1]))))
        return super().call(x, training=training)

    def get_config(self):
        return {"dtype": self.dtype_policy}


@pytest.mark.parametrize("model_type", [TrainedWithHead, DensityWithHead])
def test_other_ways_to_call_a_layer_of_a_subclass(model_type, tmp_path):
    model, y = model_type(), np.random.default_rng(0).normal(size=[24, 2])
    x = X if isinstance(model, VAE) else (y, y)
    model.compile(keras.optimizers.Adam(0.1))
    model.fit(x, batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len(loaded.head.weights) == 2
    np.testing.assert_array_equal(loaded.head.kernel, model.head.kernel)
    loaded.fit(x, batch_size=8, verbose=0)


def test_a_build_of_ones_own_need_not_know_the_shapes():
    class Plain(keras.layers.Layer):
        def call(self, x):
            return x

    class Own(models.ElboModel):
        def __init__(self):
            super().__init__()
            self.plain, self.dense = Plain(), keras.layers.Dense(2)

        def build(self, input_shape):
            self.dense.build(input_shape)

    model = Own()
    model.build((None, 3))
    assert len(model.weights) == 2
