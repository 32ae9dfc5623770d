"""Loading of what a file names, without running code that the program has not registered."""

import keras

__all__ = ["deserialize"]


def deserialize(config, custom_objects=None):
    """`keras.saving.deserialize_keras_object` for objects and functions registered with Keras, and for no others.

    Keras's own function returns any importable function that a file names, and a caller then runs it.

    Args:
        config: what `keras.saving.serialize_keras_object` returned; anything but a dict is returned as it is.
        custom_objects: further names, as in Keras.

    Raises:
        ValueError: for a name that is not registered.

    >>> config = {"module": "os", "class_name": "function", "config": "abort", "registered_name": "abort"}
    >>> deserialize(config)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: The file names 'abort', which is not registered: import ...
    """
    if not isinstance(config, dict):
        return config
    is_function = config.get("class_name") == "function"
    name = config.get("registered_name") or (config.get("config") if is_function else config.get("class_name"))
    if is_function:
        name = config["config"] if isinstance(config.get("config"), str) else name
    found = keras.saving.get_registered_object(name, custom_objects=custom_objects) if isinstance(name, str) else None
    if found is None:
        raise ValueError(
            f"The file names {name!r}, which is not registered: import the module that registers it with "
            "@keras.saving.register_keras_serializable() before loading."
        )
    return found if is_function else keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)
