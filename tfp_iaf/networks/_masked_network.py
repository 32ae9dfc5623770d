"""What the masked networks share: hidden layers, a context, and a last layer that gives each entry its parameters."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfp_iaf._arguments import choice, flag
from tfp_iaf._keras_arguments import identified
from tfp_iaf._types import Identifier, Shape
from tfp_iaf.layers import WeightNormalization
from tfp_iaf.networks.base import Network

__all__ = ["OUTPUT_STDDEV", "LinearMap", "MaskedNetwork"]

# The last layer starts near zero, so that every flow on top of it starts near the identity: the standard deviation of its
# kernel; with weight normalization, where the kernel keeps its direction, of its outputs once they are initialized from data.
OUTPUT_STDDEV = 1e-3
OUTPUT_SCALE = 1e-2


class LinearMap(NamedTuple):
    """What a masked layer computes, `x @ kernel + bias + context @ context_kernel`, for an inverse that computes it in parts.

    Args:
        kernel: the effective kernel, zero where the degrees forbid a connection.
        bias: `[O]`, or None.
        in_degrees, out_degrees: [I] and [O] integers.
        context_kernel: `[C, O]`, or None for a layer that the context does not enter.
    """

    kernel: tf.Tensor
    bias: tf.Tensor | None
    in_degrees: np.ndarray
    out_degrees: np.ndarray
    context_kernel: tf.Tensor | None


class MaskedNetwork(Network):
    """A stack of masked layers: (y, context) -> parameters `[..., *event_shape, P]`.

    A subclass says in `make_layer` what a masked layer is, and calls `make_layers` once it knows its degrees: at the end of its
    constructor, or at the start of `build`.

    Args:
        params, event_shape, context_size: see `Network`.
        activation: a Keras activation, by name or as a callable; None for the identity.
        residual: whether a hidden layer adds its input where the widths agree.
        weight_norm: whether every masked layer is a `WeightNormalization` of one.
        conditional_input_layers: "first_layer" or "all_layers", the layers that the context enters.
        use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, kernel_constraint,
            bias_constraint: as in `keras.layers.Dense`; those of kernels also hold for the context's, and the last layer keeps
            its near-zero start.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.
    """

    def __init__(
        self,
        params: int,
        event_shape: int | Sequence[int] | None,
        context_size: int | None = None,
        activation: Identifier = None,
        residual: bool = False,
        weight_norm: bool = False,
        conditional_input_layers: str = "first_layer",
        use_bias: bool = True,
        kernel_initializer: Identifier = "glorot_uniform",
        bias_initializer: Identifier = "zeros",
        kernel_regularizer: Identifier = None,
        bias_regularizer: Identifier = None,
        kernel_constraint: Identifier = None,
        bias_constraint: Identifier = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(params=params, event_shape=event_shape, context_size=context_size, **kwargs)
        self.activation = _elementwise(identified("activation", activation))
        self.residual = flag("residual", residual)
        self.weight_norm = flag("weight_norm", weight_norm)
        self.conditional_input_layers = choice(
            "conditional_input_layers", conditional_input_layers, ("first_layer", "all_layers")
        )
        self.use_bias = flag("use_bias", use_bias)
        self.kernel_initializer = identified("kernel_initializer", kernel_initializer)
        self.bias_initializer = identified("bias_initializer", bias_initializer)
        self.kernel_regularizer = identified("kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = identified("bias_regularizer", bias_regularizer)
        self.kernel_constraint = identified("kernel_constraint", kernel_constraint)
        self.bias_constraint = identified("bias_constraint", bias_constraint)
        starts_at_zero = isinstance(self.bias_initializer, keras.initializers.Zeros)
        if weight_norm and not (use_bias and starts_at_zero and bias_regularizer is None and bias_constraint is None):
            raise ValueError(
                "With weight_norm=True all layers have free biases that start at zero: leave out use_bias, bias_initializer, "
                "bias_regularizer and bias_constraint."
            )

    def make_layer(
        self, in_degrees: npt.ArrayLike, out_degrees: npt.ArrayLike, strict: bool, **kwargs: Any
    ) -> keras.layers.Layer:
        """One masked layer; `kwargs` are those of `keras.layers.Dense`."""
        raise NotImplementedError

    def make_layers(self, last_axis_degrees: npt.ArrayLike, hidden_degrees: Sequence[np.ndarray]) -> None:
        """Makes the hidden layers and the last one.

        Args:
            last_axis_degrees: degrees of the event's last axis.
            hidden_degrees: for each hidden layer the degrees of its units, or feature maps.
        """
        # The degrees of the inputs, of each hidden layer, and of the outputs.
        self._degrees = [np.asarray(last_axis_degrees), *hidden_degrees, np.repeat(last_axis_degrees, self.params)]
        self.hidden_layers = [
            self._linear_layer(
                in_degrees, out_degrees, strict=False, kernel_initializer=self._initializer(), name=f"hidden_{i}"
            )
            for i, (in_degrees, out_degrees) in enumerate(itertools.pairwise(self._degrees[:-1]))
        ]
        widths = [len(degrees) for degrees in hidden_degrees]
        self.skips = [self.residual and k > 0 and widths[k - 1] == widths[k] for k in range(len(widths))]
        self.output_layer = self._linear_layer(
            self._degrees[-2],
            self._degrees[-1],
            strict=True,
            kernel_initializer=self._initializer() if self.weight_norm else _near_zero(),
            initial_scale=OUTPUT_SCALE,
            name="output",
        )

    def _initializer(self):
        # A copy: one initializer object would give every layer the same draw.
        initializer = self.kernel_initializer
        return initializer.clone() if isinstance(initializer, keras.initializers.Initializer) else initializer

    def _linear_layer(self, in_degrees, out_degrees, strict, initial_scale=1.0, **kwargs):
        """A masked layer, weight-normalized where that was asked for."""
        kwargs |= {
            "kernel_regularizer": self.kernel_regularizer,
            "kernel_constraint": self.kernel_constraint,
            "dtype": self.dtype_policy,
        }
        if self.weight_norm:
            layer = self.make_layer(in_degrees, out_degrees, strict, use_bias=False, **kwargs)
            return WeightNormalization(layer, initial_scale=initial_scale, name=kwargs["name"])
        return self.make_layer(
            in_degrees,
            out_degrees,
            strict,
            use_bias=self.use_bias,
            # The last layer starts near zero with its bias, too.
            bias_initializer="zeros" if strict else self.bias_initializer,
            bias_regularizer=self.bias_regularizer,
            bias_constraint=self.bias_constraint,
            **kwargs,
        )

    def build(self, input_shape: Shape | None = None) -> None:
        del input_shape  # All sizes are known.
        layers = [*self.hidden_layers, self.output_layer]
        for layer, in_degrees in zip(layers, self._degrees):
            layer.build((None, *self.event_shape[:-1], len(in_degrees)))
        # One for each layer; None where the context does not enter.
        self.context_kernels = [None] * len(layers)
        if self.context_size is not None:
            count = len(layers) if self.conditional_input_layers == "all_layers" else 1
            self.context_kernels[:count] = [self._context_kernel(k) for k in range(count)]

    def _context_kernel(self, k):
        # Unmasked; a bare weight, since `keras.layers.Dense` refuses a context without batch dimension.
        return self.add_weight(
            name=f"context_kernel_{k}",
            shape=(self.context_size, len(self._degrees[k + 1])),
            initializer=_near_zero() if k == len(self.hidden_layers) else self._initializer(),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            # Cast where it is used, as the weights of the masked layers.
            autocast=False,
        )

    def linear_maps(self) -> list[LinearMap]:
        """The `LinearMap` of every layer, from the event to the parameters."""
        return [
            LinearMap(
                kernel=layer.kernel,
                bias=None if layer.bias is None else tf.convert_to_tensor(layer.bias),
                in_degrees=in_degrees,
                out_degrees=out_degrees,
                context_kernel=None if context_kernel is None else tf.convert_to_tensor(context_kernel),
            )
            for layer, (in_degrees, out_degrees), context_kernel in zip(
                [*self.hidden_layers, self.output_layer], itertools.pairwise(self._degrees), self.context_kernels
            )
        ]

    def call(self, y: tf.Tensor, context: tf.Tensor | None = None) -> tf.Tensor:
        return self.evaluate(y, context)[0]

    def evaluate(self, y: tf.Tensor, context: tf.Tensor | None = None) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """(parameters, the hidden layers' pre-activations): what an exact inverse needs of a network."""
        context = None if context is None else tf.convert_to_tensor(context)
        x, pre_activations = y, []
        for layer, context_kernel, has_skip in zip(self.hidden_layers, self.context_kernels, self.skips):
            pre_activations.append(_with_context(layer(x), context, context_kernel))
            update = self.activation(pre_activations[-1])
            x = x + update if has_skip else update
        outputs = _with_context(self.output_layer(x), context, self.context_kernels[-1])
        axes = [self.event_shape[-1], self.params]
        parameters = tf.reshape(outputs, tf.concat([tf.shape(outputs)[:-1], axes], axis=0))
        parameters.set_shape(outputs.shape[:-1].concatenate(axes))
        return parameters, pre_activations

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "residual": self.residual,
            "weight_norm": self.weight_norm,
            "conditional_input_layers": self.conditional_input_layers,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }


def _with_context(outputs, context, context_kernel):
    if context_kernel is None:
        return outputs
    return outputs + keras.ops.matmul(context, tf.cast(tf.convert_to_tensor(context_kernel), context.dtype))


def _elementwise(activation):
    """The activation; a ValueError if it has weights, or if an output depends on other entries than its own."""
    if isinstance(activation, keras.layers.Layer):
        raise ValueError(
            f"activation must be a function, got the layer {type(activation).__name__}: pass a name or a callable."
        )
    with tf.init_scope():
        rows = np.array([[0.3, -0.4, 0.5, -0.6], [0.3, -0.4, 0.5, 2.0]], np.float32)
        first, second = np.asarray(activation(tf.constant(rows)))
    if first.shape != rows.shape[1:] or (first[:-1] != second[:-1]).any():
        name = getattr(activation, "__name__", activation)
        raise ValueError(f"activation must act on each entry alone, or the network is not autoregressive, got {name}.")
    return activation


def _near_zero():
    return keras.initializers.RandomNormal(stddev=OUTPUT_STDDEV)
