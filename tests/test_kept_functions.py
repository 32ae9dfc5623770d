"""Functions that are kept with a model."""

import gc
import types
import weakref

import keras
import numpy as np

from tfp_iaf import _kept_functions


def make():
    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(2)])
    model(keras.ops.ones([1, 2]))
    return model


def test_one_for_each_key_and_set_of_variables():
    model, made = make(), []

    def kept(key):
        return _kept_functions.kept_function(model, key, lambda: made.append(key) or len(made))

    assert [kept("a"), kept("b"), kept("a")] == [1, 2, 1]
    model.layers[0].enable_lora(1)
    assert [kept("a"), kept("a")] == [3, 3]


def test_settings_that_change_give_another():
    model, made = make(), []

    def kept():
        return _kept_functions.kept_function(model, "a", lambda: made.append(0) or len(made))

    model.compile("adam", "mse")
    assert [kept(), kept()] == [1, 1]
    model.fit(np.ones([4, 2]), np.ones([4, 2]), verbose=0)
    assert kept() == 1
    model.layers[0].activation = keras.activations.tanh
    assert [kept(), kept()] == [2, 2]
    model.scale = 2.0
    assert [kept(), kept()] == [3, 3]
    model.scale = 1.0
    model.likelihood = types.SimpleNamespace(bound=1.0)
    assert [kept(), kept()] == [4, 4]
    model.likelihood.bound = 2.0
    assert kept() == 5


def test_their_number_is_bounded_and_they_go_with_the_model():
    model = make()
    for key in range(100):
        assert _kept_functions.kept_function(model, key, lambda key=key: [key]) == [key]
    assert len(model._kept_functions) <= 16
    reference = weakref.ref(model)
    _kept_functions.kept_function(model, "of the model", lambda model=model: lambda: model)
    del model
    gc.collect()
    assert reference() is None
