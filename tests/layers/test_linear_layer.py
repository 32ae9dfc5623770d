import keras
import numpy as np
import pytest

from tfp_iaf.layers import WeightNormalization, linear_layer


@pytest.mark.parametrize("weight_norm", [False, True])
def test_outputs_are_of_the_order_of_the_scale(weight_norm):
    layer = linear_layer(keras.layers.Dense, 200, weight_norm=weight_norm, initial_scale=0.1, name="features")
    outputs = layer(np.random.default_rng(0).normal(size=[100, 200]))
    assert isinstance(layer, WeightNormalization) == weight_norm
    assert layer.name == "features"
    assert layer.bias is not None
    assert 0.05 < np.std(outputs) < 0.2


@pytest.mark.parametrize("weight_norm", [False, True])
def test_arguments_that_it_sets_itself_are_refused(weight_norm):
    for name, value in {"use_bias": False, "kernel_initializer": "zeros"}.items():
        with pytest.raises(ValueError, match=rf"linear_layer sets {name} itself, got .*{value}.*: leave it out"):
            linear_layer(keras.layers.Dense, 3, weight_norm=weight_norm, **{name: value})
