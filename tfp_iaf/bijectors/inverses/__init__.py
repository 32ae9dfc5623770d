"""How the inverse of an autoregressive flow is found: chosen by name, all exact.

| name | cost, in evaluations of the network | for | gradients |
|---|---|---|---|
| "blocks" | 1 to 3 | masked dense networks in float32 or float64 | implicit, first order |
| "recurrent" | 1 | recurrent networks | any order |
| "fixed_point" | usually 8 to 16, at most D | every network | implicit, first order |
| "sequential" | D | every network; the reference | any order |
"""

from __future__ import annotations

from tfp_iaf._arguments import choice, given
from tfp_iaf.bijectors.inverses.base import Equation, Inverse
from tfp_iaf.bijectors.inverses.blocks import Blocks
from tfp_iaf.bijectors.inverses.fixed_point import FixedPoint
from tfp_iaf.bijectors.inverses.implicit import ImplicitInverse
from tfp_iaf.bijectors.inverses.recurrent import Recurrent
from tfp_iaf.bijectors.inverses.sequential import Sequential
from tfp_iaf.networks import Network

__all__ = [
    "Blocks",
    "Equation",
    "FixedPoint",
    "ImplicitInverse",
    "Inverse",
    "Recurrent",
    "Sequential",
    "get",
    "known",
    "serialize",
]

_NAMED = {"blocks": Blocks(), "fixed_point": FixedPoint(), "recurrent": Recurrent(), "sequential": Sequential()}


def get(inverse: str | Inverse, network: Network) -> Inverse:
    """The `Inverse` that an `inverse=` argument means for this network.

    Args:
        inverse: an `Inverse`, a name, or "auto" for the first of the network's `inverses` that serves it as it is.
        network: a `networks.Network`.

    Raises:
        ValueError: for an unknown name, and for an inverse that the network does not support.

    >>> from tfp_iaf.networks import AutoregressiveNetwork
    >>> type(get("auto", AutoregressiveNetwork(params=2, event_shape=3))).__name__
    'Blocks'
    """
    known(inverse)
    if not isinstance(network, Network):
        raise ValueError(f"network must be a tfp_iaf.networks.Network, such as AutoregressiveNetwork, got {given(network)}.")
    names = [name for name in network.inverses if _NAMED[name].serves(network)]
    if isinstance(inverse, str):
        name = names[0] if inverse == "auto" else inverse
        found = _NAMED[name]
    else:
        # An object of a named kind serves what the kind serves; one of your own says what it serves.
        name = next((name for name, named in _NAMED.items() if isinstance(inverse, type(named))), None)
        found = inverse
    if not (found.serves(network) if name is None else name in names):
        raise ValueError(
            f"inverse={given(inverse)} does not serve this {type(network).__name__} that computes in {network.compute_dtype}: "
            f"choose auto or one of {', '.join(names)}."
        )
    return found


def known(inverse: str | Inverse) -> str | Inverse:
    """An `inverse=` argument as it is, for a network that is not made yet.

    Raises:
        ValueError: for an unknown name.

    >>> known("blocks")
    'blocks'
    """
    return (
        inverse if isinstance(inverse, Inverse) else choice("inverse", inverse, ("auto", *_NAMED), ", or an inverses.Inverse")
    )


def serialize(inverse: str | Inverse) -> str:
    """The name that a config holds for an `inverse=` argument.

    Raises:
        ValueError: for an inverse of your own, which has none.

    >>> serialize(Sequential())
    'sequential'
    """
    if isinstance(inverse, str):
        return inverse
    for name, named in _NAMED.items():
        if type(inverse) is type(named):
            return name
    raise ValueError(
        f"{type(inverse).__name__} has no name that a file could hold, which are {', '.join(_NAMED)}: save the weights alone, "
        "with save_weights."
    )
