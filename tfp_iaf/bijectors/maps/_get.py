"""What a `bijector_fn=` may be."""

import keras

from tfp_iaf._registered import deserialize
from tfp_iaf.bijectors.maps.base import ElementwiseMap
from tfp_iaf.bijectors.maps.from_bijector import FromBijector, Spline
from tfp_iaf.bijectors.maps.linear import Affine, Gated, Location
from tfp_iaf.bijectors.maps.monotone import Monotone

__all__ = ["get", "serialize"]

_NAMED = {"affine": Affine(), "gated": Gated(), "location": Location(), "monotone": Monotone(), "spline": Spline()}


def get(bijector_fn, params=None):
    """The `ElementwiseMap` that a `bijector_fn` means.

    Args:
        bijector_fn: an `ElementwiseMap`; a name, "affine", "gated", "location", "monotone" (8 sigmoids) or "spline" (8 bins
            within [-5, 5], or as many bins as `params` says); a pair (function, P) of a function from parameters
            `[..., *event, P]` to an increasing elementwise `tfb.Bijector`; the function alone where `params` is given; or what
            `serialize` returned.
        params: the number of parameters per entry that the network has; None where none is built yet.

    Raises:
        ValueError: for anything else, and where the map takes another number of parameters than the network has.

    >>> get("spline", params=8).num_bins, get("gated").params
    (3, 2)
    """
    if isinstance(bijector_fn, ElementwiseMap):
        found = bijector_fn
    elif isinstance(bijector_fn, str) and bijector_fn in _NAMED:
        fits = bijector_fn == "spline" and params is not None and params >= 5 and params % 3 == 2
        found = Spline((params + 1) // 3) if fits and params != 23 else _NAMED[bijector_fn]
    elif isinstance(bijector_fn, dict):
        found = deserialize(bijector_fn)
    elif isinstance(bijector_fn, tuple | list) and len(bijector_fn) == 2 and callable(bijector_fn[0]):
        found = FromBijector(*bijector_fn)
    elif callable(bijector_fn) and not isinstance(bijector_fn, type) and params is not None:
        found = FromBijector(bijector_fn, params)
    else:
        hint = ": say how many parameters it takes, bijector_fn=(function, P)" if callable(bijector_fn) else ""
        raise ValueError(
            f"Unknown bijector_fn {bijector_fn!r}{hint}; expected one of {', '.join(sorted(_NAMED))}, an ElementwiseMap, or a "
            "pair (function, P) of a function from parameters [..., P] to an elementwise tfb.Bijector."
        )
    if not isinstance(found, ElementwiseMap):
        raise ValueError(f"bijector_fn must be an ElementwiseMap, got {type(found).__name__}.")
    if params is not None and found.params != params:
        takes = "3 K - 1 parameters per entry for K bins, such as 23" if bijector_fn == "spline" else found.params
        raise ValueError(
            f"bijector_fn={bijector_fn!r} takes {takes}{'' if bijector_fn == 'spline' else ' parameter(s) per entry'}, but the "
            f"network has params={params}; build it with params={found.params}."
        )
    return found


def serialize(elementwise_map):
    """What `get` turns back into an equal map: its name where that says it all.

    >>> serialize(Affine()), serialize(Spline())
    ('affine', 'spline')
    """
    for name, named in _NAMED.items():
        if type(elementwise_map) is type(named) and elementwise_map.get_config() == named.get_config():
            return name
    return keras.saving.serialize_keras_object(elementwise_map)
