"""What the masked networks share: hidden layers, a context, and a last layer that gives each entry its parameters."""

import itertools
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import masks
from tfp_iaf._arguments import integer
from tfp_iaf.layers._checkpointed import Checkpointed
from tfp_iaf.layers.weight_normalization import WeightNormalization
from tfp_iaf.networks.base import Network

__all__ = ["OUTPUT_STDDEV", "LinearMap", "MaskedNetwork", "widths_of"]

# The last layer starts near zero, so that every flow on top of it starts near the identity: the standard deviation of its
# kernel; with weight normalization, where the kernel keeps its direction, of its outputs once they are initialized from data.
OUTPUT_STDDEV = 1e-3
OUTPUT_SCALE = 1e-2


class LinearMap(NamedTuple):
    """What a masked layer computes, `x @ kernel + bias`, for those who compute it in parts.

    Args:
        kernel: the effective kernel, zero where the degrees forbid a connection.
        bias: `[O]`, or None.
        in_degrees, out_degrees: [I] and [O] integers.
    """

    kernel: tf.Tensor
    bias: tf.Tensor | None
    in_degrees: np.ndarray
    out_degrees: np.ndarray
    context_kernel: tf.Tensor | None = None


class MaskedNetwork(Network):
    """A stack of masked layers: (y, context) -> parameters `[..., *event_shape, P]`.

    A subclass says in `make_layer` what a masked layer is, and calls `make_layers` at the end of its constructor.

    Args:
        params, event_shape, context_size: see `Network`.
        activation, residual, weight_norm, use_bias, kernel_initializer, bias_initializer, kernel_regularizer: see
            `AutoregressiveNetwork`.
    """

    def __init__(
        self,
        params,
        event_shape,
        context_size,
        activation,
        residual,
        weight_norm,
        use_bias,
        kernel_initializer,
        bias_initializer,
        kernel_regularizer,
        **kwargs,
    ):
        super().__init__(params, event_shape, context_size, **kwargs)
        self.activation = keras.activations.get(activation)
        self.residual = residual
        self.weight_norm = weight_norm
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        if weight_norm and not (use_bias and isinstance(self.bias_initializer, keras.initializers.Zeros)):
            raise ValueError(
                "With weight_norm=True all layers have biases that start at zero: leave use_bias and bias_initializer."
            )

    def make_layer(self, in_degrees, out_degrees, strict, **kwargs):
        """One masked layer; `kwargs` are those of `keras.layers.Dense`."""
        raise NotImplementedError

    def make_layers(self, last_axis_degrees, widths, with_degree_zero):
        """Makes the hidden layers and the last one.

        Args:
            last_axis_degrees: degrees of the event's last axis.
            widths: sizes of the hidden layers' last axes.
            with_degree_zero: whether a hidden unit of degree 0 sees anything.
        """
        degrees = [masks.hidden_degrees(width, len(last_axis_degrees), with_degree_zero) for width in widths]
        # Of the inputs, of every hidden layer, of the outputs.
        self._degrees = [np.asarray(last_axis_degrees), *degrees, np.repeat(last_axis_degrees, self.params)]
        self.hidden_layers = [
            self._linear_layer(
                *pair,
                strict=False,
                kernel_initializer=self._initializer(),
                bias_initializer=keras.initializers.serialize(self.bias_initializer),
                name=f"hidden_{i}",
            )
            for i, pair in enumerate(itertools.pairwise(self._degrees[:-1]))
        ]
        self.skips = [self.residual and k > 0 and widths[k - 1] == widths[k] for k in range(len(widths))]
        self.output_layer = self._linear_layer(
            *self._degrees[-2:],
            strict=True,
            kernel_initializer=self._initializer() if self.weight_norm else _near_zero(),
            initial_scale=OUTPUT_SCALE,
            name="output",
        )

    def _initializer(self):
        # Serialized, to be read back: one initializer object would give every layer the same draw.
        return keras.initializers.serialize(self.kernel_initializer)

    def _linear_layer(self, *args, initial_scale=1.0, name, **kwargs):
        """A masked layer, weight-normalized where that was asked for."""
        kwargs |= {"kernel_regularizer": self.kernel_regularizer, "dtype": self.dtype_policy, "name": name}
        if not self.weight_norm:
            return self.make_layer(*args, use_bias=self.use_bias, **kwargs)
        return WeightNormalization(self.make_layer(*args, use_bias=False, **kwargs), initial_scale=initial_scale, name=name)

    def build(self, input_shape=None):
        del input_shape  # All sizes are known.
        for layer, in_degrees in zip([*self.hidden_layers, self.output_layer], self._degrees):
            layer.build((None, *self.event_shape[:-1], len(in_degrees)))
        self.context_kernel = None
        if self.context_size is not None:
            # Unmasked; a bare weight, since `keras.layers.Dense` refuses a context without batch dimension.
            self.context_kernel = self.add_weight(
                name="context_kernel",
                shape=(self.context_size, len(self._degrees[1])),
                initializer=keras.initializers.get(self._initializer()) if self.hidden_layers else _near_zero(),
                regularizer=self.kernel_regularizer,
                # Cast where it is used, as the weights of the masked layers.
                autocast=False,
            )
        self._checkpointed = Checkpointed(self)

    def linear_maps(self):
        """The `LinearMap` of every layer, from the event to the parameters."""
        layers = [*self.hidden_layers, self.output_layer]
        return [
            LinearMap(
                layer.kernel,
                None if layer.bias is None else tf.convert_to_tensor(layer.bias),
                *degrees,
                tf.convert_to_tensor(self.context_kernel) if i == 0 and self.context_kernel is not None else None,
            )
            for i, (layer, degrees) in enumerate(zip(layers, itertools.pairwise(self._degrees)))
        ]

    def call(self, y, context=None):
        return self.evaluate(y, context)[0]

    def evaluate(self, y, context=None):
        """(parameters, the hidden layers' pre-activations): what the exact inverses need of a network."""
        injected = self.context_term(context)
        x, pre_activations = y, []
        for layer, has_skip in zip(self.hidden_layers, self.skips):
            pre_activation = layer(x)
            if injected is not None:
                pre_activation, injected = pre_activation + injected, None
            pre_activations.append(pre_activation)
            update = self.activation(pre_activation)
            x = x + update if has_skip else update
        outputs = self.output_layer(x)
        if injected is not None:  # No hidden layer.
            outputs = outputs + injected
        axes = [self.event_shape[-1], self.params]
        parameters = tf.reshape(outputs, tf.concat([tf.shape(outputs)[:-1], axes], axis=0))
        return tf.ensure_shape(parameters, outputs.shape[:-1].concatenate(axes)), pre_activations

    def context_term(self, context):
        """What the context adds to the first layer's pre-activations; None without context."""
        if self.context_kernel is None:
            return None
        context = tf.convert_to_tensor(context)
        return keras.ops.matmul(context, tf.cast(tf.convert_to_tensor(self.context_kernel), context.dtype))

    def get_config(self):
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "residual": self.residual,
            "weight_norm": self.weight_norm,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def _near_zero():
    return keras.initializers.RandomNormal(stddev=OUTPUT_STDDEV)


def widths_of(name, values):
    """A tuple of positive integers of a sequence of them, or of None."""
    if values is not None and not np.iterable(values):
        raise ValueError(f"{name} must be a sequence of widths, such as (64, 64), got {values!r}.")
    return tuple(integer(f"A width in {name}", width) for width in (() if values is None else values))
