"""Models that take layers after they are built."""

import keras
import pytest

from tfp_iaf._compat import OpenAfterBuild


def built(base):
    class Model(base):
        def build(self, input_shape):
            self.built = True

    model = Model()
    model.build((None, 2))
    return model


def test_it_takes_layers_and_weights_where_keras_takes_none():
    with pytest.raises(ValueError, match="already built"):
        built(keras.Model).head = keras.layers.Dense(3)
    model = built(OpenAfterBuild)
    model.head = keras.layers.Dense(3)
    model.shift = model.add_weight(shape=(2,), name="shift")
    model.head.build((None, 2))
    assert model.layers == [model.head]
    assert len(model.weights) == 3
