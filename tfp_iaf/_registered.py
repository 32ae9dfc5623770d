"""What a file may name: objects, classes and functions that the program has registered with Keras, and nothing else."""

import keras

__all__ = ["deserialize", "serialize"]


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


def serialize(title, part):
    """What `deserialize` turns back into an equal object, or into the same class or function.

    Args:
        title: what an error calls it, such as "The prior's function".
        part: an object, a class or a function.

    Raises:
        ValueError: unless the class or function is registered: it could be saved, and not loaded.

    >>> serialize("The map", lambda x: x)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: The map cannot be written into a file: decorate '<lambda>' with ...
    """
    kind = part if hasattr(part, "__name__") else type(part)
    name = keras.saving.get_registered_name(kind)
    if keras.saving.get_registered_object(name) is not kind:
        raise ValueError(
            f"{title} cannot be written into a file: decorate {name!r} with "
            "@keras.saving.register_keras_serializable(), or save the weights alone."
        )
    if isinstance(part, type):
        # Keras writes functions and instances; a class is named as a function is.
        return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}
    return keras.saving.serialize_keras_object(part)
