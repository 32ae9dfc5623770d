"""Parts that a file names, where the program has registered them."""

import keras

__all__ = ["registered"]


def registered(config):
    """The object of a config, if its class or function is registered with Keras; a ValueError otherwise."""
    name = config.get("registered_name") or config.get("class_name")
    if config.get("class_name") == "function":
        name = config["config"]
    if keras.saving.get_registered_object(name) is None:
        raise ValueError(f"The file names {name!r}, which this program has not registered with Keras: import its module first.")
    return keras.saving.deserialize_keras_object(config)
