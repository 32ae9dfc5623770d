"""What a file may name: objects, classes and functions that the program has registered with Keras, and nothing else."""

import keras

from tfp_iaf._arguments import given

__all__ = ["check_functions", "deserialize", "serialize"]

# The functions of these modules of Keras compute with tensors, and do nothing else. Files may call most of them "builtins".
_TENSOR_FUNCTIONS = {
    "builtins": ("activations", "initializers", "regularizers", "constraints", "losses", "metrics"),
    **{f"keras.{module}": (module,) for module in ("activations", "initializers", "regularizers", "constraints", "ops")},
}


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
    if name is None:
        raise ValueError(f"A config names a registered class or function, got {given(config)}.")
    if found is None:
        raise ValueError(
            f"The file names {name!r}, which is not registered: import the module that registers it with "
            "@keras.saving.register_keras_serializable() before loading."
        )
    return found if is_function else keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)


def check_functions(config, custom_objects=None):
    """Raises a ValueError if a config names, at any depth, a function that is not registered, nor one of Keras's for tensors.

    Keras returns further functions that a file names, and a layer then calls them.

    Args:
        config: anything that a `get_config` returns; what holds no dict passes.
        custom_objects: further names, as in Keras.

    >>> check_functions({"activation": "elu", "layers": [keras.layers.Dense(2, "relu").get_config()]})
    >>> name = {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"}
    >>> check_functions({"layers": [{"activation": name}]})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: The file names 'get_file', which is not registered: import ...
    """
    if isinstance(config, list | tuple):
        for each in config:
            check_functions(each, custom_objects)
    if not isinstance(config, dict):
        return
    if config.get("class_name") == "function":
        name = config.get("config")
        modules = _TENSOR_FUNCTIONS.get(config.get("module"), ())
        if not (isinstance(name, str) and any(hasattr(getattr(keras, module), name) for module in modules)):
            deserialize(config, custom_objects)
        return
    for each in config.values():
        check_functions(each, custom_objects)


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
