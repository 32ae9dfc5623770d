"""What an entry point of the public interface is, and how the tables of them are written."""

import inspect
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from tests.inputs import roles

__all__ = ["ENTRIES", "Entry", "add", "of_config", "rows", "set_by_itself"]


class Entry(NamedTuple):
    """A public function, or the constructor or a method of a public class.

    Args:
        room: where it stands.
        name: within the room.
        call: takes the arguments by name, and uses what comes of them as a user would.
        arguments: a function that makes right ones, by name; those that are not there have defaults.
        parameters: names of all that it takes.
        required: names of those without a default.
        roles: of parameters whose role here is not that of their name.
    """

    room: str
    name: str
    call: Callable
    arguments: Callable
    parameters: tuple
    required: tuple
    roles: dict

    def role(self, parameter):
        return self.roles.get(parameter) or roles.ROLES[parameter]


ENTRIES: list[Entry] = []


def add(room, function, arguments, /, name=None, use=None, takes=None, without=(), **own_roles):
    """Puts an entry point into the table.

    Args:
        room, function: the entry point.
        arguments: right ones: a dict, or a function that makes it.
        name: its own unless given.
        use: what a user does with the result.
        takes: a function whose parameters are meant, in place of its own.
        without: parameters that are left out.
        **own_roles: of parameters whose role here is not that of their name.
    """
    make_arguments = arguments if callable(arguments) else lambda: dict(arguments)

    def call(**kwargs):
        result = function(**kwargs)
        return result if use is None else use(result)

    parameters = inspect.signature(takes or function).parameters.items()
    required = tuple(key for key, each in parameters if each.default is each.empty and key in make_arguments())
    names = tuple(key for key in names_of(takes or function) if key not in without)
    ENTRIES.append(Entry(room, name or function.__name__, call, make_arguments, names, required, own_roles))


def names_of(function):
    """The names of the parameters of a function, or of a class's constructor with what it hands to its base classes."""
    kinds = [each for each in function.__mro__ if "__init__" in vars(each)] if isinstance(function, type) else [function]
    found = []
    for kind in kinds:
        if kind.__module__.split(".")[0] not in ("tfp_iaf", "tests"):
            found += ["name", "dtype"] if issubclass(kind, keras.layers.Layer) else []
            break
        parameters = inspect.signature(kind.__init__ if isinstance(kind, type) else kind).parameters.values()
        found += [each.name for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break
    return tuple(name for name in dict.fromkeys(found) if name != "self")


def of_config(instance):
    """The arguments of a Keras object, from its config."""
    config = instance.get_config()
    return {name: config[name] for name in names_of(type(instance)) if name in config and name not in ("name", "dtype")}


def set_by_itself(instance):
    """The parameters of its base classes that a Keras object sets by itself."""
    known = {*instance.get_config(), *inspect.signature(type(instance).__init__).parameters}
    return tuple(name for name in names_of(type(instance)) if name not in known)


def rows(*shape, seed=0):
    """Normal numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
