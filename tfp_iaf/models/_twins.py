"""Whether a copy that was made from a config is what the config came from."""

import inspect
import random

import keras

from tfp_iaf.models._errors import first_line

__all__ = ["check_loading", "check_twin"]

# What can be compared by ==, and needs no config of its own.
_PLAIN = (bool, int, float, str, type(None))


def check_twin(part, twin):
    """Raises a ValueError if the twin, or a part of it, was made with another constructor argument.

    It was if the class takes an argument with a default, and forgets it in `get_config`. An argument is compared where both
    objects have an attribute of its name that is a number, a string, None, or a tuple or list of such.

    Args:
        part: an object with a `get_config`.
        twin: an object of the same class, made from that config.

    >>> class Noisy(keras.layers.Dense):
    ...     def __init__(self, units, noise=0.1, **kwargs):
    ...         super().__init__(units, **kwargs)
    ...         self.noise = noise
    >>> layer = Noisy(2, noise=0.3)
    >>> check_twin(layer, Noisy.from_config(layer.get_config()))
    Traceback (most recent call last):
    ...
    ValueError: Noisy takes noise=, which its get_config leaves out: a loaded copy would have 0.1 in place of 0.3.
    """
    _check(part, twin, set())


def _check(part, twin, seen):
    if id(part) in seen:
        return
    seen.add(id(part))
    for name in inspect.signature(type(part).__init__).parameters:
        value, copied = getattr(part, name, None), getattr(twin, name, None)
        if _is_plain(value) and _is_plain(copied) and _as_list(value) != _as_list(copied):
            raise ValueError(
                f"{type(part).__name__} takes {name}=, which its get_config leaves out: a loaded copy would have {copied!r} in "
                f"place of {value!r}."
            )
    for name, value in vars(part).items():
        copied = vars(twin).get(name)
        # Keras's own classes remember their arguments, and draw seeds where they got none.
        is_own = hasattr(value, "get_config") and not type(value).__module__.startswith("keras.")
        if is_own and type(value) is type(copied):
            _check(value, copied, seen)


def _is_plain(value):
    return isinstance(value, _PLAIN) or (isinstance(value, list | tuple) and all(map(_is_plain, value)))


def _as_list(value):
    """Files hold tuples as lists."""
    return [_as_list(each) for each in value] if isinstance(value, list | tuple) else value


def check_loading(model, config):
    """Makes the model's twin from its config: a ValueError, before a file is begun, for what no file could hold."""
    state = random.getstate()  # Keras seeds the twin's layers from it.
    try:
        check_twin(model, type(model).from_config(keras.saving.serialize_keras_object(config)))
    except Exception as error:
        message = f"The model could be saved, but not loaded again: {first_line(error)}"
        if "Could not locate" in str(error):
            message += " (Save in a keras.saving.custom_object_scope of the classes that load_model gets by custom_objects=.)"
        raise ValueError(message) from error
    finally:
        random.setstate(state)
