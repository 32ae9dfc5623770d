"""Checks of the parts a model is made of, and their configs."""

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf._registered import registered
from tfp_iaf.layers import density_dtype
from tfp_iaf.posteriors import Posterior

__all__ = ["bounded_activation", "check_layer", "check_posterior", "deserialize_parts", "fitting_features", "output_of"]

# Where an activation is looked at, and where its values are called bounded.
FAR = 1e6
BOUND = 1e3


def check_layer(name, part):
    """Raises a ValueError unless the part is a Keras 3 layer or model."""
    if isinstance(part, keras.layers.Layer):
        return
    if any(kind.__module__.split(".")[0] == "tf_keras" for kind in type(part).__mro__):
        raise ValueError(
            f"{name} must be a layer or model of Keras 3, got {type(part).__name__} of Keras 2 (tf_keras): build it of "
            "keras.layers, without TF_USE_LEGACY_KERAS."
        )
    raise ValueError(f"{name} must be a Keras layer or model, got {type(part).__name__}.")


def check_posterior(model, posterior):
    """Raises a ValueError unless the part is a `Posterior` of the model's precision."""
    if not isinstance(posterior, Posterior):
        raise ValueError(f"posterior must be a tfp_iaf.posteriors layer, got {type(posterior).__name__}.")
    if density_dtype(posterior) != density_dtype(model):
        raise ValueError(
            f"The posterior works in {density_dtype(posterior)}, the model in {density_dtype(model)}: give them the same dtype."
        )


def output_of(name, layer, inputs):
    """The symbolic output, one tensor, of a layer that is built for these symbolic inputs if it is not yet.

    Args:
        name: "encoder" or "decoder", for errors.
        layer: a Keras layer.
        inputs: a `keras.KerasTensor`, or a list of two.
    """
    try:
        if not layer.built and not isinstance(inputs, list):
            layer.build(inputs.shape)
        outputs = layer.compute_output_spec(inputs) if layer.built else layer(inputs)
    except Exception as error:
        if not isinstance(inputs, list):
            raise
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"The {name} of a conditional model takes the list of two tensors [{'x' if name == 'encoder' else 'z'}, condition], "
            f"and this one failed on shapes {[tuple(part.shape) for part in inputs]}: {reason}"
        ) from None
    if not hasattr(outputs, "shape"):
        raise ValueError(f"The {name} must give one tensor, got a {type(outputs).__name__}: concatenate its outputs.")
    return outputs


def fitting_features(posterior, features):
    """Raises a ValueError unless the encoder's output, a symbolic tensor, fits the posterior, which is built for it."""
    try:
        posterior.check_features_shape(tuple(features.shape))
    except ValueError as error:
        hint = "; end the encoder with keras.layers.Flatten()" if len(posterior.event_shape) == 1 else ""
        raise ValueError(f"The encoder does not fit the posterior: {str(error).rstrip('.')}{hint}.") from None
    if not posterior.built:
        posterior.build(tuple(features.shape))


def deserialize_parts(config, layers, custom_objects=None):
    """The config of a model with its layers in place of theirs; likelihood and prior only if the program registered them."""
    parts = {name: keras.saving.deserialize_keras_object(config[name], custom_objects=custom_objects) for name in layers}
    for name in ("likelihood", "prior"):
        if isinstance(config.get(name), dict):
            with keras.saving.custom_object_scope(custom_objects or {}):
                parts[name] = registered(config[name])
    return {**config, **parts}


def bounded_activation(decoder):
    """What bounds the decoder's outputs: the name of its last activation, "" if there is none, None if the decoder is opaque.

    The last activation is evaluated at -1e6 and 1e6. Layers without weights (reshaping, rescaling, activations) are run on
    those values, from the last one back to the first with weights, whose own activation is the last to be asked.

    >>> bounded_activation(keras.Sequential([keras.layers.Dense(2, "sigmoid"), keras.layers.Reshape((2, 1))]))
    'sigmoid'
    """
    for layer in _last_layers(decoder):
        if layer is None:
            return None
        if isinstance(layer, keras.layers.InputLayer):
            return ""
        if layer.weights or hasattr(layer, "activation"):
            activation = getattr(layer, "activation", None)
            if activation is not None and _is_bounded(activation, (1, 4)):
                return getattr(activation, "__name__", type(activation).__name__)
            known = isinstance(layer, keras.layers.Activation) or not hasattr(layer, "activation") and _is_stock(layer)
            if isinstance(layer, keras.layers.Activation):
                continue
            return "" if known or _is_stock(layer) else None
        if not _is_stock(layer):
            return None
        try:
            if _is_bounded(layer, (1, *layer.input.shape[1:])):
                return layer.name
        except (AttributeError, TypeError, ValueError):
            return None
    return ""


def _is_bounded(function, shape):
    low, high = (np.asarray(function(tf.fill(shape, value)), np.float64) for value in (-FAR, FAR))
    return bool(np.abs(low).max() < BOUND or np.abs(high).max() < BOUND)


def _is_stock(layer):
    return type(layer).__module__.startswith("keras.")


def _last_layers(layer):
    """The layers through which the output comes, the last first; None where they cannot be told."""
    if isinstance(layer, keras.Sequential):
        for inner in reversed(layer.layers):
            yield from _last_layers(inner)
    elif isinstance(layer, keras.Model) and hasattr(layer, "operations"):
        if len(layer.outputs) != 1:
            yield None
        tensor = layer.outputs[0]
        while tensor is not None:
            producers = [inner for inner in layer.layers if getattr(inner, "_outbound_nodes", None) is not None]
            inner = next((inner for inner in producers if _single_output(inner) is tensor), None)
            if inner is None:
                yield None
                return
            yield from _last_layers(inner)
            tensor = inner.input if hasattr(getattr(inner, "input", None), "shape") else None
    else:
        yield layer
