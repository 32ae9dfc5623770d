"""Checks of the parts a model is made of, and their configs."""

import math

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import _registered
from tfp_iaf._arguments import given
from tfp_iaf.layers import density_dtype
from tfp_iaf.models._errors import first_line
from tfp_iaf.posteriors import Posterior

__all__ = [
    "bounded_activation",
    "check_likelihood",
    "check_log_prob",
    "check_posterior",
    "check_precision",
    "check_unbounded",
    "deserialize_parts",
    "fitting_features",
    "output_of",
]

# An activation is evaluated this far out, and a thousand times farther: if it hardly grows, it is called bounded.
FAR = 1e6
# Of so many outputs at random latents, one that is not bounded is below 0 somewhere.
MANY_OUTPUTS = 8
# What outputs of a tanh reach there, on both sides; small outputs of a linear layer do not.
SATURATED = 0.99


def check_posterior(model, posterior):
    """Raises a ValueError unless the part is a `Posterior` of the model's precision."""
    if not isinstance(posterior, Posterior):
        raise ValueError(f"posterior must be a layer of tfp_iaf.posteriors, got {given(posterior)}.")
    check_precision("posterior", posterior, model)


def check_precision(name, part, model):
    """Raises a ValueError unless a layer computes densities in the model's precision."""
    if density_dtype(part) != density_dtype(model):
        raise ValueError(
            f"The {name} works in {density_dtype(part)}, the model in {density_dtype(model)}: give them the same dtype."
        )


def output_of(name, layer, inputs):
    """The symbolic output, one tensor, of a layer that is built for these symbolic inputs if it is not yet.

    Args:
        name: "encoder" or "decoder", for errors.
        layer: a Keras layer.
        inputs: a `keras.KerasTensor`, or a list of two.
    """
    try:
        if isinstance(layer, keras.Sequential) and isinstance(inputs, list):
            # Keras builds no Sequential of two inputs.
            layer.build([tuple(part.shape) for part in inputs])
            outputs = inputs
            for inner in layer.layers:
                outputs = inner(outputs)
        else:
            if not layer.built and not isinstance(inputs, list):
                layer.build(inputs.shape)
            outputs = layer.compute_output_spec(inputs) if layer.built else layer(inputs)
    except Exception as error:
        first, *others = (tuple(part.shape) for part in tf.nest.flatten(inputs))
        got = f"{'x' if name == 'encoder' else 'z'} of shape {first}"
        if others:
            got = f"a list of {got} and a condition of shape {others[0]}"
        num_inputs = len(getattr(layer, "inputs", None) or ())  # Of a functional model.
        reason = first_line(error)
        if num_inputs > 1 and not others:
            reason = f"it takes {num_inputs} inputs, so give the tuple (x, condition)."
        elif num_inputs == 1 and others:
            reason = "it takes one input, so leave the condition out, or make it of two."
        elif not others and ("list" in reason or "Iterating" in reason):
            got += " and no condition (if it takes one, give the tuple (x, condition))"
        raise ValueError(f"The {name} was given {got}, and failed: {reason}") from error
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


def check_likelihood(likelihood, parameters_shape, data_shape, dtype):
    """Raises a ValueError unless the likelihood makes a distribution of such data from a decoder output of such shape."""
    expected = likelihood.parameters_shape(data_shape)
    with tf.GradientTape() as tape:
        try:
            distribution = likelihood.distribution(tf.zeros([2, *parameters_shape], dtype))
        except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
            if expected not in (None, parameters_shape):
                raise ValueError(_wrong_size(likelihood, parameters_shape, data_shape, expected)) from None
            got = f"the decoder's output, of shape {(2, *parameters_shape)} for 2 rows"
            reason = first_line(error).rstrip(".")
            raise ValueError(f"The likelihood {likelihood.name} was given {got}, and failed: {reason}.") from error
        if not hasattr(distribution, "log_prob"):
            raise ValueError(
                f"The likelihood {likelihood.name} must return a tfd.Distribution, got {type(distribution).__name__}."
            )
        shapes = distribution.batch_shape, distribution.event_shape
        if shapes == ([2], list(data_shape)):
            distribution.log_prob(tf.zeros([2, *data_shape], dtype))
    if shapes != ([2], list(data_shape)):
        if expected not in (None, parameters_shape):
            raise ValueError(_wrong_size(likelihood, parameters_shape, data_shape, expected))
        is_batch = shapes[0].concatenate(shapes[1]) == [2, *data_shape]
        remedy = "wrap the distribution in tfd.Independent" if is_batch else "give the decoder's last layer another size"
        raise ValueError(
            f"The decoder's output of shape {parameters_shape} does not fit data of shape {data_shape}: of 2 rows, the "
            f"likelihood {likelihood.name} makes a distribution of batch_shape {tuple(shapes[0])} and event_shape "
            f"{tuple(shapes[1])}, expected (2,) and {data_shape}; {remedy}."
        )
    if tape.watched_variables():
        raise ValueError(
            f"The likelihood {likelihood.name} reads trainable variables, which the model would neither train nor save: put "
            "them into the decoder's last layer, as layers.ChannelLogScale does."
        )


def _wrong_size(likelihood, parameters_shape, data_shape, expected):
    """A line about a decoder whose output of `parameters_shape` should have the shape `expected`."""
    *places, size = expected
    width = f"2 x {data_shape[-1]} = {size}" if size == 2 * data_shape[-1] else size
    if parameters_shape[:-1] == tuple(places):
        remedy = f"give its last layer {width} {'channels' if places else 'units'}"
    elif math.prod(parameters_shape) == math.prod(expected):
        remedy = f"end it in keras.layers.Reshape({expected})"
    elif places:
        remedy = f"end it in keras.layers.Dense({math.prod(expected)}) and keras.layers.Reshape({expected})"
    else:
        remedy = f"end it in keras.layers.Flatten() and keras.layers.Dense({size})"
    return (
        f"The decoder gives {parameters_shape} per example, and the likelihood {likelihood.name} of data of shape {data_shape} "
        f"takes {expected}: {remedy}."
    )


def check_log_prob(prior, shape, expected):
    """Raises a ValueError unless the prior gives one log-density per latent."""
    if not shape.is_compatible_with(expected):
        raise ValueError(
            f"{type(prior).__name__}.log_prob must give one number for each z, of shape {tuple(expected)}, got {tuple(shape)}: "
            "add up the entries of a latent."
        )


def deserialize_parts(config, layers, custom_objects=None):
    """The config of a model with its parts in place of theirs.

    Args:
        config: of `get_config`.
        layers: names of the Keras layers in it, which a subclass with a constructor of its own may leave out. Posterior,
            likelihood and prior are made only if the program registered them.
        custom_objects: as in Keras.
    """
    _registered.check_functions(config, custom_objects)
    parts = {}
    for name in (name for name in layers if name in config):
        try:
            parts[name] = keras.saving.deserialize_keras_object(config[name], custom_objects=custom_objects)
        except TypeError as error:  # Keras would add the model's whole config to it.
            raise ValueError(f"The {name} of the file cannot be made: {first_line(error)}") from error
    registered = {name: config[name] for name in ("posterior", "likelihood", "prior") if isinstance(config.get(name), dict)}
    parts.update((name, _registered.deserialize(part, custom_objects)) for name, part in registered.items())
    return {**config, **parts}


def bounds_of(outputs):
    """What bounded activation the outputs `[B, ...]` of a decoder at latents far out seem to come from, in words; or None.

    >>> bounds_of(np.tanh(30.0 * np.random.default_rng(0).normal(size=[64, 8])))
    'lie in [-1, 1]'
    """
    lowest, highest = outputs.min(), outputs.max()
    if lowest == highest:
        return None
    if lowest >= 0.0 and highest <= 1.0:
        return "lie in [0, 1]"
    if -1.0 <= lowest < -SATURATED and SATURATED < highest <= 1.0:
        return "lie in [-1, 1]"
    # A few outputs may all be positive by chance.
    return "are at least 0" if lowest >= 0.0 and math.prod(outputs.shape[1:]) >= MANY_OUTPUTS else None


def check_unbounded(decoder, likelihood):
    """Raises a ValueError if the decoder ends in a bounded activation; returns whether it does not show its layers.

    >>> from tfp_iaf import likelihoods
    >>> check_unbounded(keras.layers.Dense(2), likelihoods.Bernoulli())
    False
    """
    activation = bounded_activation(decoder)
    if activation:
        raise ValueError(
            f"The decoder ends in {activation}, which does not reach all real numbers, and the parameters of the likelihood "
            f"{likelihood.name} may be any: end the decoder in a layer without activation."
        )
    return activation is None


def bounded_activation(decoder):
    """What bounds the decoder's outputs: the name of its last activation, "" if there is none, None if the decoder is opaque.

    The last activation is evaluated at -1e6 and 1e6. Layers without weights, such as reshapes, rescalings and activations, are
    run on those values, from the last one back to the first with weights, whose own activation is the last to be asked.

    >>> decoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "sigmoid"), keras.layers.Reshape((2, 1))])
    >>> bounded_activation(decoder)
    'sigmoid'
    """
    for layer in _from_the_last(decoder):
        if layer is None or not type(layer).__module__.startswith("keras."):
            return None
        activation = getattr(layer, "activation", None)
        if activation is not None:
            if _is_bounded(activation, (1, 4)):
                return getattr(activation, "__name__", type(activation).__name__)
            if not isinstance(layer, keras.layers.Activation):
                return ""
        elif layer.weights:
            return ""
        else:
            try:
                if _is_bounded(layer, (1, *layer.input.shape[1:])):
                    return layer.name
            except Exception:  # A layer that was never called on a symbolic tensor, or that takes other inputs.
                return None
    return ""


def _is_bounded(function, shape):
    """Whether the function has stopped growing at -1e6, or at 1e6."""

    def size_at(value):
        return np.abs(np.asarray(function(tf.fill(shape, value)), np.float64)).max()

    # A size that overflows, as in float16, has grown.
    return any(size_at(1e3 * value) <= 1.1 * size_at(value) < np.inf for value in (-FAR, FAR))


def _from_the_last(layer):
    """The layers that the output comes through, the last one first; None where they cannot be told."""
    if isinstance(layer, keras.Sequential):
        for inner in reversed(layer.layers):
            yield from _from_the_last(inner)
    elif isinstance(layer, keras.Model):
        # A functional model shows its graph, a subclassed one nothing.
        tensors = getattr(layer, "outputs", None) or [None]
        while len(tensors) == 1:
            inner = next((inner for inner in layer.layers if _output(inner) is tensors[0]), None)
            if isinstance(inner, keras.layers.InputLayer):
                return
            yield from [None] if inner is None else _from_the_last(inner)
            tensors = tf.nest.flatten(getattr(inner, "input", []))
        yield None
    elif not isinstance(layer, keras.layers.InputLayer):
        yield layer


def _output(layer):
    try:
        return layer.output
    except (AttributeError, ValueError):
        return layer  # A layer that was never called, or more than once, shows no graph.
