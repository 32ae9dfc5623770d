"""What the masked linear layers share: degrees, arguments and weights. How they multiply stands in their own files."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfp_iaf import masks
from tfp_iaf._arguments import flag
from tfp_iaf._compat import layers_of
from tfp_iaf._eager import uncompiled
from tfp_iaf._keras_arguments import identified
from tfp_iaf._types import Identifier, Shape, TensorLike
from tfp_iaf.layers.tracked_layer import TrackedLayer

__all__ = ["MaskedLayer", "folded_masks"]

_are_folded: contextvars.ContextVar[bool] = contextvars.ContextVar("are_folded", default=False)


@contextlib.contextmanager
def folded_masks(layer: keras.layers.Layer) -> Iterator[None]:
    """Within it, graphs that are traced multiply no kernel by its mask: for exports, whose weights do not change any more.

    The masks of the layer, and of all layers in it, are multiplied into their weights first, which changes no output.

    >>> from tfp_iaf.layers import MaskedDense
    >>> layer = MaskedDense([1, 2], [1, 2], strict=True, kernel_initializer="ones")
    >>> layer.build()
    >>> with folded_masks(layer):
    ...     graph = tf.function(layer.call).get_concrete_function(tf.TensorSpec([None, 2])).graph
    >>> "Mul" in [operation.type for operation in graph.get_operations()]
    False
    """
    for each in layers_of(layer):
        if isinstance(each, MaskedLayer) and each.built:
            for kernel, mask in each.kernels_and_masks():
                if mask is not None:
                    kernel.assign(kernel * keras.ops.cast(mask, kernel.dtype))
    token = _are_folded.set(True)
    try:
        # A graph that an eager call makes here would be kept, and serve later weights without masks.
        with uncompiled():
            yield
    finally:
        _are_folded.reset(token)


class MaskedLayer(TrackedLayer):
    """A linear layer with a masked kernel; a subclass defines `mask` and `call`.

    Args:
        in_degrees: [I] integers, the degrees of the inputs' last axis.
        out_degrees: [O] integers, the degrees of the outputs' last axis.
        strict: see `MaskedDense`.
        use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, kernel_constraint,
            bias_constraint: as in `keras.layers.Dense`.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.
    """

    def __init__(
        self,
        in_degrees: npt.ArrayLike,
        out_degrees: npt.ArrayLike,
        strict: bool = False,
        use_bias: bool = True,
        kernel_initializer: Identifier = "glorot_uniform",
        bias_initializer: Identifier = "zeros",
        kernel_regularizer: Identifier = None,
        bias_regularizer: Identifier = None,
        kernel_constraint: Identifier = None,
        bias_constraint: Identifier = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.in_degrees = masks.degree_array("in_degrees", in_degrees)
        self.out_degrees = masks.degree_array("out_degrees", out_degrees)
        self.strict = flag("strict", strict)
        self.use_bias = flag("use_bias", use_bias)
        self.kernel_initializer = identified("kernel_initializer", kernel_initializer)
        self.bias_initializer = identified("bias_initializer", bias_initializer)
        self.kernel_regularizer = identified("kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = identified("bias_regularizer", bias_regularizer)
        self.kernel_constraint = identified("kernel_constraint", kernel_constraint)
        self.bias_constraint = identified("bias_constraint", bias_constraint)

    @property
    def mask(self) -> np.ndarray:
        """The mask of the whole kernel, booleans of its shape."""
        raise NotImplementedError(f"{type(self).__name__} has no mask: define it.")

    def build(self, input_shape: Shape | None = None) -> None:
        del input_shape  # The degrees say it.
        self.build_kernel()
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(len(self.out_degrees),),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                autocast=False,
            )

    def build_kernel(self) -> None:
        self._kernel = self.add_kernel("kernel", self.mask.shape, self.initial_kernel)

    def add_kernel(self, name: str, shape: Sequence[int], initializer: Identifier) -> keras.Variable:
        # No weight is cast by Keras, but where it is used: an inverse may read it inside a layer of another precision.
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            autocast=False,
        )

    def kernels_and_masks(self) -> list[tuple[keras.Variable, np.ndarray | None]]:
        """The weights that are kernels or blocks of one, each with its mask; None where all is allowed."""
        return [(self._kernel, self.mask)]

    @staticmethod
    def masked(kernel: keras.Variable, mask: Callable[[], TensorLike] | None, dtype: tf.DType) -> tf.Tensor:
        """A kernel, or a block of one, times its mask; None where all is allowed."""
        value = tf.cast(tf.convert_to_tensor(kernel), dtype)
        return value if mask is None or _are_folded.get() else value * tf.cast(mask(), dtype)

    def initial_kernel(self, shape: Sequence[int], dtype: Any = None) -> tf.Tensor:
        # Forbidden entries start at zero and get no gradient: regularizers and weight decay then leave them out.
        return self.kernel_initializer(shape, dtype=dtype) * keras.ops.cast(self.mask, dtype)

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
        return (*input_shape[:-1], len(self.out_degrees))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "in_degrees": self.in_degrees.tolist(),
            "out_degrees": self.out_degrees.tolist(),
            "strict": self.strict,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }
