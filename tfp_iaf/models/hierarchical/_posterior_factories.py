"""What `HierarchicalVAE(posterior=...)` takes: names, and functions that make a posterior for a latent's shape."""

import keras

from tfp_iaf import _registered
from tfp_iaf._arguments import given
from tfp_iaf.layers import density_dtype
from tfp_iaf.models._errors import first_line
from tfp_iaf.posteriors import ConvIAF, DiagonalGaussian, Posterior

__all__ = ["NAMES", "checked", "factory", "get", "serialize"]

NAMES = ("diagonal", "linear", "iaf")


def get(posterior):
    """A name or a factory, of a name, a factory or what `serialize` gave.

    Raises:
        ValueError: for anything else; for a file's factory that the program has not registered with Keras.

    >>> get("iaf"), get(ConvIAF) is ConvIAF
    ('iaf', True)
    """
    if isinstance(posterior, dict):
        posterior = _registered.deserialize(posterior)
    if isinstance(posterior, str) and posterior in NAMES:
        return posterior
    if callable(posterior) and not isinstance(posterior, keras.layers.Layer):
        return posterior
    raise ValueError(
        f"posterior must be one of {', '.join(NAMES)}, or a function latent_shape -> tfp_iaf.posteriors.Posterior, got "
        f"{given(posterior)}."
    )


def serialize(posterior):
    """What `get` turns back into the same name or factory.

    Raises:
        ValueError: for a factory that is not registered with Keras, so that no file could name it.

    >>> serialize("iaf")
    'iaf'
    """
    if isinstance(posterior, str):
        return posterior
    return _registered.serialize("The posterior's factory", posterior)


def factory(posterior, *, num_flows, flow_filters, bijector_fn, filters, weight_norm, dtype):
    """The function latent_shape -> posterior that a name stands for; a factory is returned as it is.

    Args:
        posterior: what `get` returned.
        num_flows, flow_filters, bijector_fn, filters, weight_norm: as in `HierarchicalVAE`.
        dtype: the dtype policy of the posteriors.

    Raises:
        ValueError: for arguments that the posterior would not use.

    >>> make = factory(
    ...     "iaf", num_flows=1, flow_filters=(8,), bijector_fn=None, filters=8, weight_norm=False, dtype="float32")
    >>> make((4, 4, 2)).parameter_sizes
    (2, 2, 8)
    """
    values = {"num_flows": num_flows, "flow_filters": flow_filters, "bijector_fn": bijector_fn}
    if posterior == "iaf":
        defaults = {"num_flows": 1, "filters": (filters,), "bijector_fn": "affine"}
        values["filters"] = values.pop("flow_filters")
        kwargs = {name: default if values[name] is None else values[name] for name, default in defaults.items()}
        return lambda latent_shape: ConvIAF(
            latent_shape, **kwargs, context_channels=filters, weight_norm=weight_norm, dtype=dtype
        )
    unused = [name for name, value in values.items() if value is not None]
    if unused:
        raise ValueError(
            f"{', '.join(unused)} would have no effect: posterior='iaf' takes them; another posterior's flows are made by its "
            "factory."
        )
    if posterior == "diagonal":
        return lambda latent_shape: DiagonalGaussian(latent_shape=latent_shape, dtype=dtype)
    if posterior == "linear":
        kwargs = {"num_flows": 1, "filters": (), "bijector_fn": "location", "context_channels": 0}
        return lambda latent_shape: ConvIAF(latent_shape, **kwargs, weight_norm=weight_norm, dtype=dtype)
    return posterior


def checked(factory, dtype):
    """The factory, with a ValueError for what does not fit in place of its result.

    Args:
        factory: a function latent_shape -> posterior.
        dtype: the `density_dtype` of the model.
    """
    made = []

    def make_posterior(latent_shape):
        try:
            posterior = factory(latent_shape)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"posterior must make a posterior for latents of shape {latent_shape}, as posterior=ConvIAF does, but "
                f"{getattr(factory, '__name__', 'it')} failed: {first_line(error)}"
            ) from error
        if not isinstance(posterior, Posterior):
            raise ValueError(f"The posterior's factory must return a tfp_iaf.posteriors.Posterior, got {given(posterior)}.")
        if tuple(posterior.event_shape) != latent_shape:
            raise ValueError(
                f"The posterior's factory was asked for latents of shape {latent_shape}, got one for "
                f"{tuple(posterior.event_shape)}: pass latent_shape on, as in lambda latent_shape: ConvIAF(latent_shape)."
            )
        if density_dtype(posterior) != dtype:
            raise ValueError(
                f"The posterior works in {density_dtype(posterior)}, the model in {dtype}: give them the same dtype."
            )
        if any(posterior is other for other in made):
            raise ValueError("The posterior's factory must return a new posterior for each layer, got the same one twice.")
        made.append(posterior)
        return posterior

    return make_posterior
