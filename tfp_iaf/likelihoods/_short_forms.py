"""Short forms of likelihoods: names, callables, and what files say."""

from __future__ import annotations

from typing import Any

from tfp_iaf import _registered
from tfp_iaf._arguments import given
from tfp_iaf.likelihoods.base import FromFunction, Likelihood
from tfp_iaf.likelihoods.bernoulli import Bernoulli
from tfp_iaf.likelihoods.discretized_logistic import DiscretizedLogistic
from tfp_iaf.likelihoods.normal import Normal

__all__ = ["get", "serialize"]

NAMES = {"bernoulli": Bernoulli, "discretized_logistic": DiscretizedLogistic, "normal": Normal}


def get(identifier: Any) -> Likelihood:
    """The likelihood of a short form.

    Args:
        identifier: a `Likelihood`; "bernoulli", "discretized_logistic" or "normal"; a callable from the decoder's output
            `[B, ...]` to a `tfd.Distribution` of batch_shape [B]; or what `serialize` gave.

    Raises:
        ValueError: for anything else; for a file's likelihood that the program has not registered with Keras.

    >>> get("normal").log_scale_bound
    5.0
    """
    identifier = _registered.deserialize(identifier)
    if isinstance(identifier, Likelihood):
        return identifier
    if isinstance(identifier, str) and identifier in NAMES:
        return NAMES[identifier]()
    if callable(identifier) and not isinstance(identifier, type):
        return FromFunction(identifier)
    raise ValueError(
        f"likelihood must be one of {', '.join(sorted(NAMES))}, a likelihoods.Likelihood, or a function from the decoder's "
        f"output to a tfd.Distribution, got {given(identifier)}."
    )


def serialize(likelihood: Likelihood) -> str | dict[str, Any]:
    """What `get` turns back into the same likelihood.

    Raises:
        ValueError: if its class or its callable is not registered with Keras, so that no file could name it.

    >>> serialize(get("normal")), serialize(Normal(log_scale_bound=7.0))["config"]
    ('normal', {'log_scale_bound': 7.0})
    """
    for name, kind in NAMES.items():
        if type(likelihood) is kind and likelihood.get_config() == kind().get_config():
            return name
    part = likelihood.function if isinstance(likelihood, FromFunction) else likelihood
    return _registered.serialize(f"The likelihood {likelihood.name}", part)
