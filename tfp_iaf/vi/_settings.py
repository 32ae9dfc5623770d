"""What a surrogate was built of, in its checkpoints."""

import json

import numpy as np
import tensorflow as tf

from tfp_iaf._arguments import given

__all__ = ["Settings"]


class Settings(tf.train.experimental.PythonState):
    """Settings that `tf.train.Checkpoint` keeps beside the weights: it refuses to restore those of another surrogate.

    Args:
        **settings: JSON-able values by name.

    >>> one, other = Settings(base="normal", num_flows=2), Settings(base="normal", num_flows=3)
    >>> one.deserialize(one.serialize())
    >>> other.deserialize(one.serialize())
    Traceback (most recent call last):
    ...
    ValueError: The checkpoint is of another surrogate, with num_flows 2 where this one has 3: build it with equal arguments.
    """

    def __init__(self, **settings):
        self._settings = json.loads(json.dumps(settings))

    def serialize(self):
        return json.dumps(self._settings)

    def deserialize(self, string_value):
        saved = json.loads(string_value)
        for name, value in self._settings.items():
            if not _equal(saved.get(name), value):
                raise ValueError(
                    f"The checkpoint is of another surrogate, with {name} {given(saved.get(name))} where this one has "
                    f"{given(value)}: build it with equal arguments."
                )


def _equal(one, two):
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two) and _is_vector(one) and _is_vector(two):
        # Machines round differently.
        return np.allclose(one, two, rtol=1e-3, atol=1e-3, equal_nan=True)
    return one == two


def _is_vector(values):
    return all(isinstance(value, float) for value in values)
