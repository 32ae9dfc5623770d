"""Checks of arguments that Keras takes: its own errors print whole values, over many lines."""

import keras

from tfp_iaf._arguments import flag, given
from tfp_iaf._registered import check_functions

__all__ = ["check_callbacks", "check_layer", "check_layer_arguments", "check_optimizer", "identified"]


def identified(name, identifier):
    """The activation, initializer, regularizer or constraint that an argument means.

    Args:
        name: of the argument; its last word says the kind, as in "kernel_initializer".
        identifier: what `keras.initializers.get` and its like take. A config that names a function passes only if
            `_registered.check_functions` lets it. None means Keras's default: of kernels "glorot_uniform", of biases "zeros".

    Raises:
        ValueError: for anything else, tensors among it, which would be no initializer of several layers.

    >>> identified("activation", "relu").__name__, type(identified("bias_initializer", None)).__name__
    ('relu', 'Zeros')
    """
    kind = f"{name.split('_')[-1]}s"
    module = getattr(keras, kind)
    if identifier is None and kind == "initializers":
        identifier = "glorot_uniform" if name.startswith("kernel") else "zeros"
    if identifier is None:
        return module.get(None)
    check_functions(identifier)
    found = None
    if isinstance(identifier, str | dict) or callable(identifier):
        try:
            found = module.get(identifier)
        except Exception:  # Keras raises errors of many classes.
            found = None
    if not callable(found):
        raise ValueError(f"{name} must be a name or a function of keras.{kind}, got {given(identifier)}.")
    return found


def check_layer_arguments(name=None, dtype=None, trainable=True, **others):
    """Raises a ValueError for a name, a dtype or a `trainable` that no layer could have; other arguments pass.

    >>> check_layer_arguments(name="flow", dtype="mixed_bfloat16", units=3)
    """
    del others
    if name is not None and (not isinstance(name, str) or not name or "/" in name):
        raise ValueError(f"name must be a text without '/', got {given(name)}.")
    flag("trainable", trainable)
    if dtype is None:
        return
    try:
        is_floating = keras.backend.is_float_dtype(keras.dtype_policies.get(dtype).variable_dtype)
    except Exception:  # Keras raises errors of many classes.
        is_floating = False
    if not is_floating or isinstance(dtype, type):
        raise ValueError(f"dtype must be that of floats, or a policy such as 'mixed_bfloat16', got {given(dtype)}.")


def check_optimizer(optimizer):
    """Raises a ValueError unless Keras takes this for an optimizer: a name, a config, an object, or None.

    >>> check_optimizer("adam")
    """
    if optimizer is None or isinstance(optimizer, str | dict | keras.optimizers.Optimizer):
        return
    got = f"{type(optimizer).__name__} of Keras 2 (tf_keras)" if _is_keras_2(optimizer) else given(optimizer)
    raise ValueError(
        f"optimizer must be a name or an object of keras.optimizers, such as keras.optimizers.Adamax(), got {got}."
    )


def check_callbacks(callbacks):
    """Raises a ValueError for a class where Keras takes callbacks: None, one of them, or several.

    >>> check_callbacks([keras.callbacks.TerminateOnNaN()])
    """
    for callback in callbacks if isinstance(callbacks, list | tuple) else [callbacks]:
        if isinstance(callback, type):
            raise ValueError(f"callbacks must be objects, such as keras.callbacks.TerminateOnNaN(), got {given(callback)}.")


def _is_keras_2(part):
    return any(kind.__module__.split(".")[0] == "tf_keras" for kind in type(part).__mro__)


def check_layer(name, part):
    """Raises a ValueError unless the part is a Keras 3 layer or model.

    >>> check_layer("encoder", keras.layers.Dense(2))
    """
    if isinstance(part, keras.layers.Layer):
        return
    if _is_keras_2(part):
        raise ValueError(
            f"{name} must be a layer or model of Keras 3, got {type(part).__name__} of Keras 2 (tf_keras): build it of "
            "keras.layers, without TF_USE_LEGACY_KERAS."
        )
    raise ValueError(f"{name} must be a Keras layer or model, got {given(part)}.")
