"""Arguments of `tfb.AutoregressiveNetwork`, which its users pass by changing the import alone."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_iaf.networks import AutoregressiveNetwork

tfb = tfp.bijectors


def test_every_argument_of_tfp_s_is_one_of_ours_with_its_default():
    theirs = inspect.signature(tfb.AutoregressiveNetwork).parameters
    ours = inspect.signature(AutoregressiveNetwork).parameters
    for name, parameter in theirs.items():
        assert name in ours
        # These have the same meaning in other words.
        if name not in ("conditional_input_layers", "hidden_units"):
            assert ours[name].default == parameter.default or ours[name].kind == parameter.kind == parameter.VAR_KEYWORD


CASES = {
    "defaults": {},
    "hidden": {"event_shape": 4, "hidden_units": [10, 7], "hidden_degrees": "random", "input_order": "right-to-left"},
    "no bias": {"hidden_units": [8], "use_bias": False, "kernel_constraint": "unit_norm", "activation": tf.math.tanh},
    "all layers": {"event_shape": (4,), "hidden_units": [8, 8], "conditional": True, "conditional_event_shape": (3,)},
    "first layer": {
        "event_shape": [4],
        "hidden_units": [8, 8],
        "conditional": True,
        "conditional_event_shape": 3,
        "conditional_input_layers": "first_layer",
    },
    "Keras 2 objects": {
        "hidden_units": [8],
        "kernel_initializer": tf_keras.initializers.VarianceScaling(0.1, seed=3),
        "kernel_regularizer": tf_keras.regularizers.l2(0.1),
        "bias_regularizer": tf_keras.regularizers.l1(0.5),
        "bias_constraint": tf_keras.constraints.NonNeg(),
        "bias_initializer": tf_keras.initializers.Ones(),
        "validate_args": True,
    },
}


@pytest.mark.parametrize("kwargs", CASES.values(), ids=CASES)
def test_as_many_weights_and_the_same_shapes_as_tfp_s(kwargs):
    y = np.random.default_rng(0).normal(size=[2, 4]).astype("float32")
    call = {"conditional_input": np.ones([2, 3], "float32")} if kwargs.get("conditional") else {}
    theirs = tfb.AutoregressiveNetwork(3, **kwargs)
    ours = AutoregressiveNetwork(3, **kwargs)
    assert ours(y, **call).shape == theirs(y, **call).shape == (2, 4, 3)
    shapes = sorted(tuple(weight.shape) for weight in ours.trainable_weights)
    assert shapes == sorted(tuple(weight.shape) for weight in theirs.trainable_weights)
    assert len(ours.losses) == len(theirs.losses)
    twin = AutoregressiveNetwork.from_config(ours.get_config())
    twin.build()
    twin.set_weights(ours.get_weights())
    np.testing.assert_array_equal(twin(y, **call), ours(y, **call))


def test_keras_2_objects_are_read():
    network = AutoregressiveNetwork(3, 4, **CASES["Keras 2 objects"])
    assert isinstance(network.kernel_initializer, keras.initializers.VarianceScaling)
    assert network.kernel_initializer.scale == 0.1
    assert float(network.kernel_regularizer.l2) == pytest.approx(0.1)
    assert float(network.bias_regularizer.l1) == pytest.approx(0.5)
    assert isinstance(network.bias_constraint, keras.constraints.NonNeg)

    class Own(tf_keras.initializers.Initializer):
        pass

    Own.__module__ = "tf_keras.own"
    with pytest.raises(ValueError, match="Own is a Keras 2 object without a counterpart"):
        AutoregressiveNetwork(3, 4, kernel_initializer=Own())


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"event_shape": None, "conditional": True, "conditional_event_shape": 3}, "`event_shape` must be provided"),
        ({"conditional": True}, "`conditional_event_shape` must be provided"),
        ({"conditional_event_shape": 3}, "`conditional` is set to False"),
        ({"conditional": True, "conditional_event_shape": (3, 2)}, "must describe a rank-1 shape"),
        ({"context_size": 3, "conditional_input_layers": "last_layer"}, "`conditional_input_layers` must be"),
        ({"context_size": 3, "conditional": True, "conditional_event_shape": 4}, "differ: pass one of them"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message) as error:
        AutoregressiveNetwork(**{"params": 2, "event_shape": 4, **kwargs})
    assert "\n" not in str(error.value)


def test_a_missing_context_is_named_in_tfp_s_words():
    network = AutoregressiveNetwork(2, 4, conditional=True, conditional_event_shape=3)
    with pytest.raises(ValueError, match=r"pass context= \(or conditional_input=, TFP's name\)"):
        network(np.ones([2, 4]))
