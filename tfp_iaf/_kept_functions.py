"""Compiled functions that are made once for a model, and live as long as it does."""

import types

from tfp_iaf._compat import layers_of

__all__ = ["kept_function"]

# More than a program needs at once: one that sweeps over numbers of samples must not fill the memory.
_MAX_FUNCTIONS = 16
# What Keras notes in a model and in its layers while it builds, compiles and trains them.
_NOTES_OF_KERAS = frozenset(
    ["built", "compiled", "steps_per_execution", "unrolled_steps_per_execution"]
    + [f"stop_{name}" for name in ("training", "evaluating", "predicting")]
    + [f"{name}_function" for name in ("train", "test", "predict")]
)


def kept_function(model, key, make):
    """What `make()` returned at the first call for this key and the model's variables and settings of now.

    `enable_lora`, `quantize` and another encoder give a model other variables, and so another graph. So does an attribute of
    the model, of its likelihood or of a layer in it that is assigned anew: a number, a text, a function, another likelihood.

    >>> import keras
    >>> model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    >>> kept_function(model, "doubled", lambda: [2]) is kept_function(model, "doubled", lambda: [2])
    True
    """
    # In the model's `__dict__`: Keras, which would save an attribute, does not see it there.
    functions = vars(model).setdefault("_kept_functions", {})
    variables = model.variables
    key = key, _settings(model), *map(id, variables)
    found = functions.get(key)
    if found is None:
        if len(functions) >= _MAX_FUNCTIONS:
            functions.clear()
        # Of two threads that come at once, both take the function of the first. What is held keeps its id.
        found = functions.setdefault(key, (make(), variables, getattr(model, "likelihood", None)))
    return found[0]


def _settings(model):
    """The public attributes of a model and of its parts that a traced function has read for good, as far as they compare."""
    likelihood = getattr(model, "likelihood", None)
    parts = [*layers_of(model), *([] if likelihood is None else [likelihood])]
    # A list, since another thread may add an attribute.
    attributes = [(name, value) for part in parts for name, value in list(vars(part).items())]
    kinds = bool | int | float | str | types.FunctionType
    return id(likelihood), tuple(
        (name, value)
        for name, value in attributes
        if isinstance(value, kinds) and not name.startswith("_") and name not in _NOTES_OF_KERAS
    )
