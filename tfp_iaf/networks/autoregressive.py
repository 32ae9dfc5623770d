"""The masked multilayer perceptron (MADE) that parametrizes a dense autoregressive flow."""

import keras

from tfp_iaf import masks
from tfp_iaf.layers.masked_dense import MaskedDense
from tfp_iaf.networks._inputs import vector_shape
from tfp_iaf.networks._masked_network import MaskedNetwork, widths_of

__all__ = ["AutoregressiveNetwork"]


@keras.saving.register_keras_serializable("tfp_iaf")
class AutoregressiveNetwork(MaskedNetwork):
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
        weight_norm: whether every masked layer is a `WeightNormalization` of one, which `initialize_weight_normalization`
            starts from data. It has biases, which start at zero; `kernel_regularizer` sees its v.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Input shape: y `[..., D]`, context `[..., C]`; their leading dimensions broadcast.
    Output shape: `[..., D, P]`.

    Raises:
        ValueError: for an unknown order, a wrong event or context size, a missing or an unexpected context, an integer y.

    Source: Germain et al. 2015 (MADE), section 4; Kingma et al. 2016, section 4.1 and appendix.

    >>> import numpy as np
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
        weight_norm=False,
        **kwargs,
    ):
        super().__init__(
            params,
            vector_shape("AutoregressiveNetwork", event_shape),
            context_size,
            activation,
            residual,
            weight_norm,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            **kwargs,
        )
        self.hidden_units = widths_of("hidden_units", hidden_units)
        self.degrees, self.input_order = masks.fixed_order(self.event_size, input_order, seed)
        self.num_blocks = num_blocks
        # Without a context, a unit of degree 0 would be a constant.
        self.make_layers(self.degrees, self.hidden_units, with_degree_zero=self.context_size is not None)

    @property
    def event_size(self):
        return self.event_shape[0]

    def make_layer(self, in_degrees, out_degrees, strict, **kwargs):
        return MaskedDense(in_degrees, out_degrees, strict, num_blocks=self.num_blocks, **kwargs)

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_units": list(self.hidden_units),
            "context_size": self.context_size,
            "input_order": self.input_order,
            "num_blocks": self.num_blocks,
        }
