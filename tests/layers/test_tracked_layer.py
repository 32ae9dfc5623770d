"""`tf.train.Checkpoint` of every layer and model that keeps others, or weights, in lists."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tfp_iaf import models, posteriors
from tfp_iaf.layers import MaskedDense, TrackedLayer, tracked_layer
from tfp_iaf.networks import AutoregressiveNetwork, ConvAutoregressiveNetwork, RecurrentAutoregressiveNetwork


def vae():
    return models.VAE(keras.layers.Dense(4), posteriors.IAF(2, 2, (4,)), keras.layers.Dense(5))


LAYERS = {
    "masked dense": (lambda: MaskedDense([1, 2, 3], [1, 2, 3], num_blocks=2), (None, 3)),
    "autoregressive": (lambda: AutoregressiveNetwork(2, 4, (8, 8), context_size=3, weight_norm=True), (None, 4)),
    "conv": (lambda: ConvAutoregressiveNetwork(2, (4, 4, 2), (6,)), (None, 4, 4, 2)),
    "recurrent": (lambda: RecurrentAutoregressiveNetwork(2, 4, (3, 3), "gru"), (None, 4)),
    "IAF": (lambda: posteriors.IAF(2, 2, (4,)), (None, 5)),
    "ConvIAF": (lambda: posteriors.ConvIAF((4, 4, 2), 2, (4,)), (None, 4, 4, 3)),
    "RecurrentIAF": (lambda: posteriors.RecurrentIAF(2, 2, 3), (None, 5)),
    "VAE": (vae, (None, 5)),
    "HierarchicalVAE": (lambda: models.HierarchicalVAE((8, 8, 1), (1, 1), filters=4, latent_channels=2), (None, 8, 8, 1)),
}


@pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
def test_a_checkpoint_holds_every_weight(make, shape, tmp_path):
    layer, other = make(), make()
    for each, seed in ((layer, 0), (other, 1)):
        each.build(shape)
        properties.randomize(each, seed=seed)
    path = tf.train.Checkpoint(layer=layer).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(layer=other).restore(path).assert_consumed()
    assert len(layer.weights) == len(other.weights) > 0
    for ours, restored in zip(layer.weights, other.weights):
        np.testing.assert_array_equal(ours, restored)


def test_a_checkpoint_holds_the_noise(tmp_path):
    first, second = (posteriors.IAF(2, hidden_units=(4,), seed=1) for _ in range(2))
    features = np.ones([3, 4], np.float32)
    for _ in range(3):
        first(features)
    path = tf.train.Checkpoint(layer=first).save(str(tmp_path / "checkpoint"))
    second(features)
    tf.train.Checkpoint(layer=second).restore(path)
    np.testing.assert_array_equal(first(features)[0], second(features)[0])


def test_a_layer_made_frozen_freezes_the_layers_inside():
    posterior = posteriors.IAF(2, hidden_units=(4,), trainable=False)
    posterior.build((None, 3))
    q = posterior.distribution(np.ones([5, 3], np.float32))
    assert not posterior.trainable_weights and not posterior.networks[0].trainable_weights and not q.trainable_variables


class Stack(TrackedLayer):
    """A layer as users write them: nothing but Keras's own methods."""

    def __init__(self, layer_type=keras.layers.Dense, **kwargs):
        super().__init__(**kwargs)
        self.layers = [layer_type(3), layer_type(3)]
        self.by_name = {"last": layer_type(3)}

    def call(self, x):
        for layer in [*self.layers, *self.by_name.values()]:
            x = layer(x)
        return x


class BuiltStack(Stack):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        for layer in [*self.layers, *self.by_name.values()]:
            layer.build((None, 3))

    def call(self, x):
        return self.scale * super().call(x)


class Outer(TrackedLayer):
    """Builds no more than its base class does, and then some."""

    def __init__(self):
        super().__init__()
        self.stacks = [BuiltStack(), Stack()]

    def build(self, input_shape):
        super().build(input_shape)
        for stack in self.stacks:
            stack(keras.Input((3,)))

    def call(self, x):
        return self.stacks[1](self.stacks[0](x))


USERS = {"built by the first call": Stack, "with build": BuiltStack, "nested": Outer}


@pytest.mark.parametrize("make", USERS.values(), ids=USERS)
def test_subclasses_need_not_do_anything(make, tmp_path):
    layer, other = make(), make()
    x = np.ones([2, 3], "float32")
    assert (layer(x).numpy() != other(x).numpy()).any()
    assert len(layer.tf_variables) == len(layer.weights) > 5
    assert all(isinstance(variable, tf.Variable) for variable in layer.tf_variables)
    # Found once.
    assert layer.tf_variables is layer.tf_variables
    path = tf.train.Checkpoint(layer=layer).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(layer=other).restore(path).assert_consumed()
    np.testing.assert_array_equal(other(x), layer(x))


def test_a_checkpoint_restored_before_the_layer_is_built(tmp_path):
    layer, other = BuiltStack(), BuiltStack()
    x = np.ones([2, 3], "float32")
    layer(x)
    path = tf.train.Checkpoint(layer=layer).save(str(tmp_path / "checkpoint"))
    status = tf.train.Checkpoint(layer=other).restore(path)
    np.testing.assert_array_equal(other(x), layer(x))
    status.assert_consumed()


def test_a_plain_keras_layer_loses_its_lists(tmp_path):
    """What this class is for."""

    class Plain(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.layers = [keras.layers.Dense(3)]

        def call(self, x):
            return self.layers[0](x)

    layer = Plain()
    layer(np.ones([2, 3], "float32"))
    path = tf.train.Checkpoint(layer=layer).save(str(tmp_path / "checkpoint"))
    assert not [name for name, _ in tf.train.list_variables(path) if "kernel" in name or "layers" in name]


def test_variables_of_a_layer_that_keras_traces_to_build_it():
    """Inside, they have no values yet; afterwards they do."""

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.stack = BuiltStack()

        def call(self, x):
            y = self.stack(x)
            seen.append(self.stack.tf_variables)
            return y

    seen, model = [], Model()
    model.compile("sgd", "mse")
    model.fit(np.ones([4, 3]), np.ones([4, 3]), verbose=0)
    assert model.stack.tf_variables is seen[-1]
    assert not any(variable is None for variable in seen[-1])


def test_nothing_of_the_class_runs_in_a_call():
    layer = BuiltStack()
    x = np.ones([2, 3], "float32")
    layer(x)
    assert len(layer.tf_variables) == 7
    files = set()
    sys.setprofile(lambda frame, event, _: files.add(frame.f_code.co_filename))
    try:
        layer(x)
        assert layer.tf_variables
    finally:
        sys.setprofile(None)
    assert __file__ in files
    assert tracked_layer.__file__ not in files
