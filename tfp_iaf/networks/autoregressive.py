"""The masked multilayer perceptron (MADE) that parametrizes a dense autoregressive flow."""

import itertools

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import masks
from tfp_iaf.arguments import integer
from tfp_iaf.networks.masked_dense import MaskedDense

__all__ = ["AutoregressiveNetwork"]

# The last layer starts near zero, so that every flow on top of it starts near the identity.
OUTPUT_STDDEV = 1e-3


@keras.saving.register_keras_serializable("tfp_iaf")
class AutoregressiveNetwork(keras.layers.Layer):
    """Parameters of each event entry, as a function of the entries before it and of a context.

    `net(y, context)[..., i, :]` depends on `y[..., j]` exactly for the entries j that precede i in `input_order`, and on
    all of `context`. Every hidden layer is `activation(x @ (kernel * mask) + bias)`; the context is added to the first
    hidden layer through an unmasked projection; the last layer is linear and starts near zero.

    Takes the arguments of `tfb.AutoregressiveNetwork`, which is a Keras 2 layer and does not train inside a Keras 3 model.

    Args:
        params: number of parameters P of each entry.
        event_shape: D, or (D,): the size of the event.
        hidden_units: widths of the hidden layers; empty or None for a linear network. Below D units (D - 1 without
            context) some of the allowed connections have no path.
        context_size: C, the size of the context; None for a network without context.
        input_order: "left-to-right", "right-to-left", "random", or a permutation of 1..D (see `masks.input_degrees`).
        activation: a Keras activation, by name or as a callable.
        residual: whether a hidden layer adds its input where the widths agree.
        use_bias, kernel_initializer, bias_initializer, kernel_regularizer, num_blocks: of every `MaskedDense`; the last
            layer keeps its near-zero kernel.
        seed: integer seed of a "random" input order.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Input shape: y `[..., D]`, context `[..., C]`; their leading dimensions broadcast.
    Output shape: `[..., D, P]`.

    Raises:
        ValueError: for an unknown order, a wrong event or context size, a missing or an unexpected context, an integer y.

    Source: Germain et al. 2015 (MADE), section 4; Kingma et al. 2016, section 4.1 and appendix.

    >>> net = AutoregressiveNetwork(params=2, event_shape=8, hidden_units=(32, 32), context_size=5)
    >>> net(np.zeros([3, 8], "float32"), context=np.zeros([3, 5], "float32")).shape
    TensorShape([3, 8, 2])
    """

    def __init__(
        self,
        params,
        event_shape,
        hidden_units=(),
        context_size=None,
        input_order="left-to-right",
        activation="elu",
        residual=False,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        num_blocks=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.params = integer("params", params)
        self.event_shape = _vector_shape(event_shape)
        if hidden_units is not None and not np.iterable(hidden_units):
            raise ValueError(f"hidden_units must be a sequence of widths, such as (64, 64), got {hidden_units!r}.")
        self.hidden_units = tuple(integer("A width in hidden_units", units) for units in hidden_units or ())
        self.context_size = None if context_size is None else integer("context_size", context_size)
        self.degrees = masks.input_degrees(self.event_size, input_order, seed)
        # A random order is kept as drawn, so that a rebuilt network has equal masks.
        is_fixed = isinstance(input_order, str) and input_order != "random"
        self.input_order = input_order if is_fixed else self.degrees.tolist()
        self.activation = keras.activations.get(activation)
        self.residual = residual
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.num_blocks = num_blocks
        self._make_layers()

    @property
    def event_size(self):
        return self.event_shape[0]

    def _make_layers(self):
        with_context = self.context_size is not None
        degrees = [self.degrees]
        degrees += [masks.hidden_degrees(units, self.event_size, with_context) for units in self.hidden_units]
        common = {"use_bias": self.use_bias, "num_blocks": self.num_blocks, "dtype": self.dtype_policy}
        self.hidden_layers = [
            MaskedDense(
                before,
                after,
                # Serialized and read back: one initializer object would give every layer the same draw.
                kernel_initializer=keras.initializers.serialize(self.kernel_initializer),
                bias_initializer=keras.initializers.serialize(self.bias_initializer),
                kernel_regularizer=self.kernel_regularizer,
                name=f"hidden_{i}",
                **common,
            )
            for i, (before, after) in enumerate(itertools.pairwise(degrees))
        ]
        widths = self.hidden_units
        self.skips = [self.residual and k > 0 and widths[k - 1] == widths[k] for k in range(len(widths))]
        self.output_layer = MaskedDense(
            degrees[-1],
            np.repeat(self.degrees, self.params),
            strict=True,
            kernel_initializer=keras.initializers.RandomNormal(stddev=OUTPUT_STDDEV),
            kernel_regularizer=self.kernel_regularizer,
            name="output",
            **common,
        )

    def build(self, input_shape=None):
        del input_shape  # All sizes are known.
        for layer in [*self.hidden_layers, self.output_layer]:
            layer.build((None, len(layer.in_degrees)))
        self.context_kernel = None
        if self.context_size is not None:
            # Unmasked; a bare weight, since `keras.layers.Dense` refuses a context without batch dimension.
            into_output = not self.hidden_units
            self.context_kernel = self.add_weight(
                name="context_kernel",
                shape=(self.context_size, self.event_size * self.params if into_output else self.hidden_units[0]),
                initializer=(
                    keras.initializers.RandomNormal(stddev=OUTPUT_STDDEV)
                    if into_output
                    else keras.initializers.get(keras.initializers.serialize(self.kernel_initializer))
                ),
                regularizer=self.kernel_regularizer,
            )

    def __call__(self, y, context=None, **kwargs):
        # Checked here, since Keras buries an error raised in `call` under a report of the call's arguments.
        self.check_inputs(y, context)
        return super().__call__(y, context=context, **kwargs)

    def call(self, y, context=None):
        return self.evaluate(y, context)[0]

    def evaluate(self, y, context=None):
        """(parameters `[..., D, P]`, the hidden layers' pre-activations): what the exact inverses need of a network."""
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
        axes = [self.event_size, self.params]
        parameters = tf.reshape(outputs, tf.concat([tf.shape(outputs)[:-1], axes], axis=0))
        return tf.ensure_shape(parameters, outputs.shape[:-1].concatenate(axes)), pre_activations

    def context_term(self, context):
        """What the context adds to the first layer's pre-activations; None without context."""
        return None if self.context_kernel is None else keras.ops.matmul(context, self.context_kernel)

    def compute_output_shape(self, y_shape, context_shape=None):
        leading = y_shape[:-1]
        if context_shape is not None and len(context_shape) > len(y_shape):
            leading = context_shape[:-1]
        return (*leading, self.event_size, self.params)

    def check_inputs(self, y, context):
        """Raises a ValueError unless `y` and `context` fit the network."""
        if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(getattr(y, "dtype", "float32"))):
            raise ValueError(f"{self.name} expects floating-point events, got dtype {y.dtype}; cast them to {self.dtype}.")
        _check_last_dimension(self.name, "event", y, self.event_size)
        if self.context_size is None:
            if context is not None:
                raise ValueError(
                    f"{self.name} was built without a context but got one; construct it with "
                    f"context_size={np.shape(context)[-1]} to use it."
                )
        elif context is None:
            raise ValueError(
                f"{self.name} was built for a context of size {self.context_size} but got none; pass context=[..., "
                f"{self.context_size}]."
            )
        else:
            _check_last_dimension(self.name, "context", context, self.context_size)

    def get_config(self):
        return {
            **super().get_config(),
            "params": self.params,
            "event_shape": list(self.event_shape),
            "hidden_units": list(self.hidden_units),
            "context_size": self.context_size,
            "input_order": self.input_order,
            "activation": keras.activations.serialize(self.activation),
            "residual": self.residual,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "num_blocks": self.num_blocks,
        }


def _vector_shape(event_shape):
    sizes = tuple(event_shape) if np.iterable(event_shape) else (event_shape,)
    if len(sizes) != 1:
        raise ValueError(f"AutoregressiveNetwork acts on vectors: expected event_shape (D,), got {event_shape!r}.")
    return (integer("event_shape", sizes[0]),)


def _check_last_dimension(owner, what, value, expected):
    shape = tf.TensorShape(value.shape if hasattr(value, "shape") else np.shape(value))
    if shape.rank is not None and (shape.rank == 0 or shape[-1] not in (None, expected)):
        raise ValueError(
            f"{owner} expects a{'n' if what == 'event' else ''} {what} of shape [..., {expected}], got {tuple(shape)}."
        )
