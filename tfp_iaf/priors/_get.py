"""What a model's argument `prior=` may be."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow_probability as tfp

from tfp_iaf import _registered
from tfp_iaf._arguments import given
from tfp_iaf.priors.base import Prior
from tfp_iaf.priors.fixed import Fixed
from tfp_iaf.priors.standard_normal import StandardNormal

__all__ = ["get"]


def get(prior: Any, dtype: Any = None) -> Prior:
    """The `Prior` that a model's `prior=` means.

    Args:
        prior: None for the standard normal; a `Prior`; a `tfd.Distribution`, or a function without arguments that returns one,
            for `Fixed`; or what `keras.saving.serialize_keras_object` made of a prior.
        dtype: dtype or policy of the priors made here.

    Raises:
        ValueError: for anything else.

    >>> get(None).name
    'prior'
    """
    if isinstance(prior, dict):
        prior = _registered.deserialize(prior)
    if prior is None:
        return StandardNormal(dtype=dtype, name="prior")
    if isinstance(prior, Prior):
        return prior
    is_function = callable(prior) and not isinstance(prior, type | keras.layers.Layer | tfp.bijectors.Bijector)
    if isinstance(prior, tfp.distributions.Distribution) or is_function:
        return Fixed(prior, dtype=dtype, name="prior")
    raise ValueError(
        "prior must be a priors.Prior, a tfd.Distribution, a function that returns one, or None for "
        f"the standard normal, got {given(prior)}."
    )
