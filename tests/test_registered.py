"""Loading calls no function that a file names, unless the program registered it: the kinds of places that may name one."""

import keras
import pytest

from tfp_iaf import VAE, bijectors, layers, networks, posteriors, priors
from tfp_iaf._keras_arguments import identified

# A function of Keras that leaves a trace when it is called.
NAMED = {"module": "keras.config", "class_name": "function", "config": "set_epsilon", "registered_name": "set_epsilon"}


def vae():
    return VAE(keras.layers.Dense(4), posteriors.DiagonalGaussian(2), keras.layers.Dense(6))


def config_of(model, **changes):
    return {**model.get_config(), **changes}


def encoder_with_it():
    config = keras.saving.serialize_keras_object(keras.layers.Dense(4))
    config["config"]["activation"] = NAMED
    return config


PLACES = {
    "prior": lambda: VAE.from_config(config_of(vae(), prior=NAMED)),
    "a function inside a prior": lambda: priors.Fixed.from_config({"distribution_fn": NAMED}),
    "likelihood": lambda: VAE.from_config(config_of(vae(), likelihood=NAMED)),
    "a layer inside the encoder": lambda: VAE.from_config(config_of(vae(), encoder=encoder_with_it())),
    "optimizer": lambda: vae().compile_from_config({"optimizer": NAMED}),
    "map of a posterior": lambda: posteriors.IAF.from_config(config_of(posteriors.IAF(2), bijector_fn=NAMED)),
    "map": lambda: bijectors.maps.FromBijector.from_config({"bijector_fn": NAMED, "params": 2}),
    "activation of a network": lambda: networks.AutoregressiveNetwork.from_config(
        config_of(networks.AutoregressiveNetwork(2, [3], [4]), activation=NAMED)
    ),
    "activation of a posterior": lambda: posteriors.NICE.from_config(config_of(posteriors.NICE(2), activation=NAMED)),
    "activation of a prior": lambda: priors.AutoregressiveFlow.from_config(
        config_of(priors.AutoregressiveFlow(1, [4]), activation=NAMED)
    ),
    "activation of a layer": lambda: layers.ResidualBlock.from_config(config_of(layers.ResidualBlock(4), activation=NAMED)),
}


@pytest.mark.parametrize("load", PLACES.values(), ids=PLACES)
def test_a_function_that_is_not_registered_is_not_called(load):
    epsilon = keras.config.epsilon()
    try:
        # Keras reports errors of its own layers' constructors as TypeErrors.
        with pytest.raises((ValueError, TypeError), match="'set_epsilon', which is not registered"):
            load()
    finally:
        called = keras.config.epsilon() is not epsilon
        keras.config.set_epsilon(epsilon)
    assert not called


def test_what_python_itself_offers_is_not_returned():
    for module in ("builtins", "os", "keras.utils"):
        with pytest.raises(ValueError, match="not registered"):
            identified("activation", {"module": module, "class_name": "function", "config": "exec", "registered_name": "exec"})


def test_functions_of_keras_and_registered_ones_pass():
    @keras.saving.register_keras_serializable("tests.registered")
    def halved(x):
        return 0.5 * x

    for function in (keras.activations.relu, keras.ops.tanh, halved):
        named = keras.saving.serialize_keras_object(function)
        assert identified("activation", named)(1.0) == function(1.0)
