"""The masked multilayer perceptron (MADE) that parametrizes a dense autoregressive flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tfp_iaf import masks
from tfp_iaf._arguments import flag, given, integer, widths
from tfp_iaf._types import Identifier, InputOrder, Shape
from tfp_iaf.layers import MaskedDense
from tfp_iaf.networks._masked_network import MaskedNetwork
from tfp_iaf.networks._tfp_arguments import context_arguments, from_keras_2

__all__ = ["AutoregressiveNetwork"]


@keras.saving.register_keras_serializable("tfp_iaf")
class AutoregressiveNetwork(MaskedNetwork):
    """Parameters of each event entry, as a function of the entries before it and of a context.

    `net(y, context)[..., i, :]` depends on `y[..., j]` exactly for the entries j that precede i in `input_order`, and on
    all of `context`. Every hidden layer is `activation(x @ (kernel * mask) + bias)`; the context is added to the first
    hidden layer through an unmasked projection; the last layer is linear and starts near zero.

    Takes all arguments of `tfb.AutoregressiveNetwork`, which is a Keras 2 layer and does not train inside a Keras 3 model, in
    TFP's words and in ours, and with TFP's defaults. Two things differ. The last layer starts near zero whatever
    `kernel_initializer` and `bias_initializer` say, so that flows start near the identity. And with a context some hidden units
    read nothing else, so that the first entry's parameters depend on it.

    Args:
        params: number of parameters P of each entry.
        event_shape: D, or (D,): the size of the event. None to find it when the network is built.
        hidden_units: widths of the hidden layers; empty or None for a linear network. Below D units (D - 1 without
            context) some of the allowed connections have no path.
        context_size: C, the size of the context; None for a network without context.
        input_order: "left-to-right", "right-to-left", "random", or a permutation of 1..D (see `masks.input_degrees`).
        activation: a Keras activation, by name or as a callable; None for the identity.
        residual: whether a hidden layer adds its input where the widths agree.
        use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, kernel_constraint,
            bias_constraint: as in `keras.layers.Dense`, of every layer; the last keeps its near-zero start.
        seed: integer seed of a "random" input order and of "random" hidden degrees.
        weight_norm: whether every masked layer is a `WeightNormalization` of one, which
            `layers.initialize_weight_normalization` starts from data. Biases then are free and start at zero, and regularizer
            and constraint of the kernel act on its v.
        hidden_degrees: "equal" for as many units of each degree as possible, "random", or for each hidden layer a list of the
            degrees of its units, integers from 0 (which reads the context alone) to D - 1.
        conditional: whether there is a context, of `conditional_event_shape` (TFP's words for `context_size`).
        conditional_event_shape: C, or (C,).
        conditional_input_layers: "first_layer" or "all_layers", the layers that the context enters. None for the first
            with `context_size`, and for all, as in TFP, with `conditional=True`.
        num_blocks: see `MaskedDense`: it changes the speed and the memory of large networks.
        validate_args: as TFP's; nothing depends on it, since arguments are always checked.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Attributes:
        hidden_layers: the masked layers but the last.
        output_layer: the last layer.

    Input shape: y `[..., D]`, context (or `conditional_input`) `[..., C]`; their leading dimensions broadcast.
    Output shape: `[..., D, P]`.

    Raises:
        ValueError: for an unknown order, a wrong event or context size, a missing or an unexpected context, batches that do
            not broadcast, an integer y.

    Source: Germain et al. 2015 (MADE), section 4; Kingma et al. 2016, section 4.1 and appendix.

    >>> import numpy as np
    >>> net = AutoregressiveNetwork(params=2, event_shape=8, hidden_units=(32, 32), context_size=5, activation="elu")
    >>> net(np.zeros([3, 8], "float32"), context=np.zeros([3, 5], "float32")).shape
    TensorShape([3, 8, 2])
    """

    inverses = ("blocks", "fixed_point", "sequential")
    compiles_eager_calls = True

    def __init__(
        self,
        params: int,
        event_shape: int | Sequence[int] | None = None,
        hidden_units: Sequence[int] = (),
        context_size: int | None = None,
        input_order: InputOrder = "left-to-right",
        activation: Identifier = None,
        residual: bool = False,
        use_bias: bool = True,
        kernel_initializer: Identifier = "glorot_uniform",
        bias_initializer: Identifier = "zeros",
        kernel_regularizer: Identifier = None,
        bias_regularizer: Identifier = None,
        kernel_constraint: Identifier = None,
        bias_constraint: Identifier = None,
        seed: int | None = None,
        weight_norm: bool = False,
        hidden_degrees: str | Sequence[Sequence[int]] = "equal",
        conditional: bool = False,
        conditional_event_shape: int | Sequence[int] | None = None,
        conditional_input_layers: str | None = None,
        num_blocks: int | None = None,
        validate_args: bool = False,
        **kwargs: Any,
    ) -> None:
        flag("validate_args", validate_args)
        context_size, conditional_input_layers = context_arguments(
            context_size=context_size,
            event_shape=event_shape,
            conditional=conditional,
            conditional_event_shape=conditional_event_shape,
            conditional_input_layers=conditional_input_layers,
        )
        super().__init__(
            params=params,
            event_shape=event_shape,
            context_size=context_size,
            activation=activation,
            residual=residual,
            weight_norm=weight_norm,
            conditional_input_layers=conditional_input_layers,
            use_bias=use_bias,
            kernel_initializer=from_keras_2(kernel_initializer, keras.initializers),
            bias_initializer=from_keras_2(bias_initializer, keras.initializers),
            kernel_regularizer=from_keras_2(kernel_regularizer, keras.regularizers),
            bias_regularizer=from_keras_2(bias_regularizer, keras.regularizers),
            kernel_constraint=from_keras_2(kernel_constraint, keras.constraints),
            bias_constraint=from_keras_2(bias_constraint, keras.constraints),
            **kwargs,
        )
        if self.event_shape is not None and len(self.event_shape) != 1:
            raise ValueError(f"AutoregressiveNetwork acts on vectors: expected event_shape (D,), got {given(event_shape)}.")
        self.hidden_units = widths("hidden_units", hidden_units)
        self.input_order = input_order
        self.hidden_degrees = hidden_degrees
        self.seed = None if seed is None else integer("seed", seed, at_least=0)
        self.num_blocks = None if num_blocks is None else integer("num_blocks", num_blocks)
        if self.event_shape is not None:
            self._set_degrees()

    @property
    def event_size(self) -> int:
        return None if self.event_shape is None else self.event_shape[0]

    def _set_degrees(self):
        """Sets the degrees and makes the layers, once the size of the event is known."""
        self.degrees, self.input_order = masks.fixed_order(self.event_size, self.input_order, self.seed)
        degrees, self.hidden_degrees = masks.fixed_hidden_degrees(
            self.hidden_units,
            self.event_size,
            self.hidden_degrees,
            # Without a context, a unit of degree 0 would be a constant.
            with_context=self.context_size is not None,
            seed=self.seed,
        )
        self.make_layers(self.degrees, degrees)

    def make_layer(
        self, in_degrees: npt.ArrayLike, out_degrees: npt.ArrayLike, strict: bool, **kwargs: Any
    ) -> keras.layers.Layer:
        # Only degrees that rise or fall all along allow more than one block.
        is_monotone = masks.is_monotone(in_degrees) and masks.is_monotone(out_degrees)
        return MaskedDense(in_degrees, out_degrees, strict, num_blocks=self.num_blocks if is_monotone else 1, **kwargs)

    def build(self, input_shape: Shape | None = None) -> None:
        if self.event_shape is None:
            if not input_shape or input_shape[-1] is None:
                raise ValueError(f"{self.name} finds its event_shape from what it is called with, got shape {input_shape}.")
            self.event_shape = (int(input_shape[-1]),)
            self._set_degrees()
        super().build(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "hidden_units": list(self.hidden_units),
            "input_order": self.input_order if isinstance(self.input_order, str) else np.asarray(self.input_order).tolist(),
            "hidden_degrees": self.hidden_degrees,
            "seed": self.seed,
            "num_blocks": self.num_blocks,
        }
