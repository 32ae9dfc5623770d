"""Weight normalization: a layer's kernel as a direction and a length, and their data-dependent start."""

from __future__ import annotations

import contextlib
import contextvars
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf._arguments import non_negative, real
from tfp_iaf._eager import uncompiled
from tfp_iaf._keras_arguments import check_layer
from tfp_iaf._types import Shape
from tfp_iaf.layers._precision import density_dtype
from tfp_iaf.layers.masked_dense import MaskedDense
from tfp_iaf.layers.tracked_layer import TrackedLayer

__all__ = ["WeightNormalization", "initialize_weight_normalization"]

_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
# The layers that `initialize_weight_normalization` has reached so far, by id; None outside of it.
_reached: contextvars.ContextVar[dict | None] = contextvars.ContextVar("reached", default=None)


@keras.saving.register_keras_serializable("tfp_iaf")
class WeightNormalization(TrackedLayer, keras.layers.Wrapper):
    """A linear layer with kernel w = g v / ||v|| and bias b, both g and b one number per output unit.

    ```none
    out = g (x . v) / ||v|| + b
    ```

    v is the wrapped layer's kernel and ||v|| its Euclidean norm over all that feeds a unit; of a masked layer, over the
    allowed entries. The layer starts with g = initial_scale ||v|| and b = initial_mean: with 1 and 0, as the wrapped layer
    alone would. `initialize_weight_normalization` sets both from a batch of data instead. A unit that reads nothing (masked,
    v = 0) gives b, with finite gradients.

    A convolution scales its kernel, a dense layer its output, since these are the smaller tensors.

    Args:
        layer: a `keras.layers.Dense`, `Conv1D` to `Conv3D`, one of their transposes, `layers.MaskedDense` or
            `layers.MaskedConv`, made with `use_bias=False` and without activation.
        initial_mean: mean of the outputs after `initialize_weight_normalization`, and the bias before.
        initial_scale: standard deviation of the outputs after `initialize_weight_normalization`, at least 0; before, it
            multiplies the kernel.
        **kwargs: `name`, `dtype` of `keras.layers.Layer`; the dtype is the wrapped layer's unless given.

    Input and output shapes: those of the wrapped layer.

    Raises:
        ValueError: for a layer with a bias, an activation, a kernel that starts at zero (it has no direction, and would never
            get a gradient), channels first or without a kernel of one column per output unit (depthwise, separable), and for
            an `initial_mean` or `initial_scale` out of range.

    Source: Salimans and Kingma 2016, equation 2.

    >>> layer = WeightNormalization(keras.layers.Dense(3, use_bias=False))
    >>> x = np.ones([2, 4], "float32")
    >>> bool(np.allclose(layer(x), layer.layer(x), atol=1e-6))
    True
    >>> _ = layer.gain.assign([1.0, 2.0, 3.0])
    >>> np.linalg.norm(layer.kernel, axis=0).round(4)
    array([1., 2., 3.], dtype=float32)
    """

    def __init__(self, layer: keras.layers.Layer, initial_mean: float = 0.0, initial_scale: float = 1.0, **kwargs: Any) -> None:
        _check_layer(layer)
        initial_mean, initial_scale = real("initial_mean", initial_mean), non_negative("initial_scale", initial_scale)
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(layer, **kwargs)
        self.initial_mean = initial_mean
        self.initial_scale = initial_scale
        # The axis of v's units: transposed convolutions store [..., out, in].
        self._unit_axis = -2 if isinstance(layer, _TRANSPOSED) else -1

    def build(self, input_shape: Shape) -> None:
        # The gain starts from the kernel's value: both are made outside of a function that is being traced.
        with tf.init_scope():
            self._build(input_shape)

    def _build(self, input_shape):
        super().build(input_shape)
        kernel = getattr(self.layer, "kernel", None)
        units = self.layer.compute_output_shape(input_shape)[-1]
        if kernel is None or kernel.shape[self._unit_axis] != units:
            raise ValueError(
                f"WeightNormalization takes layers whose kernel has a column for each of their {units} output units: "
                f"{type(self.layer).__name__} has {'none' if kernel is None else f'one of shape {tuple(kernel.shape)}'}."
            )
        # In full precision under a mixed policy: both are small.
        self.gain = self.add_weight(name="gain", shape=(units,), initializer=self._initial_gain, autocast=False)
        initial_bias = keras.initializers.Constant(self.initial_mean)
        self.bias = self.add_weight(name="bias", shape=(units,), initializer=initial_bias, autocast=False)

    def _initial_gain(self, shape, dtype=None):
        del shape  # It follows from the kernel's.
        return tf.cast(self.initial_scale * tf.sqrt(self._squared_norm()), dtype)

    def _squared_norm(self):
        # bfloat16 is too coarse to sum in.
        dtype = density_dtype(self)
        if isinstance(self.layer, MaskedDense):  # It leaves out the blocks that its mask forbids.
            return self.layer.squared_norms(dtype)
        kernel = tf.cast(tf.convert_to_tensor(self.layer.kernel), dtype)
        unit_axis = kernel.shape.rank + self._unit_axis
        return tf.reduce_sum(tf.square(kernel), [axis for axis in range(kernel.shape.rank) if axis != unit_axis])

    def _inverse_norm(self):
        """1 / ||v||, and 0 where v = 0."""
        squared = self._squared_norm()
        # The argument is finite where v = 0 too; otherwise the gradient would be NaN.
        safe = tf.where(squared > 0.0, squared, tf.ones_like(squared))
        return tf.where(squared > 0.0, tf.math.rsqrt(safe), tf.zeros_like(squared))

    def _factors(self):
        """g / ||v||, of each unit."""
        inverse_norm = self._inverse_norm()
        return tf.cast(tf.convert_to_tensor(self.gain), inverse_norm.dtype) * inverse_norm

    @property
    def kernel(self) -> tf.Tensor:
        """The effective kernel g v / ||v||, of the shape of the wrapped layer's."""
        kernel = tf.convert_to_tensor(self.layer.kernel)
        factors = tf.cast(self._factors(), kernel.dtype)
        return kernel * (factors if self._unit_axis == -1 else factors[:, tf.newaxis])

    def _scales_kernel(self):
        """Whether the layer is called with the effective kernel. `enable_lora` gives it others beside the kernel.

        Measured, forward and backward on a CPU: 0.6 of the time of scaling a convolution's output, as fast with XLA.
        """
        has_penalty = getattr(self.layer, "activity_regularizer", None) is not None
        return len(self.layer.kernel.shape) > 2 and len(self.layer.variables) == 1 and not has_penalty

    def call(self, x: tf.Tensor) -> tf.Tensor:
        if getattr(self.layer.dtype_policy, "quantization_mode", None) is not None:
            raise ValueError(
                f"quantize has rounded the kernel inside {self.name}, and weight normalization needs it in full: make the "
                "model with weight_norm=False, or leave out quantize."
            )
        reached = _reached.get()
        if reached is not None and id(self) not in reached:
            self._initialize_from(self.layer(x))
            reached[id(self)] = self, self.gain.numpy()
        if self._scales_kernel():
            with keras.StatelessScope([(self.layer.variables[0], self.kernel)]):
                outputs = self.layer(x)
        else:
            outputs = self.layer(x)
            outputs = outputs * tf.cast(self._factors(), outputs.dtype)
        return outputs + tf.cast(tf.convert_to_tensor(self.bias), outputs.dtype)

    def _initialize_from(self, products):
        """Sets g and b so that the outputs to these x . v have the asked mean and standard deviation."""
        if not tf.executing_eagerly():
            raise ValueError(
                f"initialize_weight_normalization must reach the layer {self.name} eagerly: it was called inside a tf.function."
            )
        resolution = np.finfo(tf.as_dtype(products.dtype).as_numpy_dtype).eps if products.dtype != tf.bfloat16 else 2.0**-7
        products = tf.cast(products, tf.float64).numpy()
        if not np.isfinite(products).all():
            raise ValueError(f"The data reach the layer {self.name} with NaN or infinite values: it needs finite data.")
        t = products.reshape([-1, products.shape[-1]]) * self._inverse_norm().numpy()
        mean, std = t.mean(axis=0), t.std(axis=0)
        # A unit that does not vary beyond rounding cannot be scaled to vary.
        varies = std > 10.0 * resolution * np.abs(t).max(axis=0)
        gain = self.initial_scale / np.where(varies, std, 1.0)
        self.gain.assign(gain)
        self.bias.assign(self.initial_mean - mean * gain)

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initial_mean": self.initial_mean, "initial_scale": self.initial_scale}


def initialize_weight_normalization(model: keras.Model, *inputs: Any, **kwargs: Any) -> list[keras.layers.Layer]:
    """Runs a model once and sets gain and bias of its `WeightNormalization` layers from what they see.

    ```none
    t = x . v / ||v||,   g = initial_scale / std(t),   b = initial_mean - g mean(t)
    ```

    with mean and std over the batch and all axes but the last. Each layer is set before it gives its output, so that the next
    sees outputs already normalized; afterwards every layer's outputs have, on this batch, mean `initial_mean` and standard
    deviation `initial_scale`. A layer that is called twice takes its first inputs. A unit that does not vary gets
    g = initial_scale. Layers that the call does not reach stay as they are.

    Args:
        model: a Keras layer or model, built or not; also a `models.VAE`.
        *inputs, **kwargs: what to call it with; some hundred examples.

    Returns:
        The layers that were set, in the order of their calls.

    Raises:
        ValueError: inside a `tf.function`, for data that reach a layer with NaN or infinite values, and if the call reaches no
            `WeightNormalization` layer, or one inside the inverse of a flow.

    Source: Salimans and Kingma 2016, section 3.

    >>> model = keras.Sequential([WeightNormalization(keras.layers.Dense(units, use_bias=False)) for units in (8, 3)])
    >>> x = np.random.default_rng(0).normal(5.0, 10.0, size=[100, 4])
    >>> layers = initialize_weight_normalization(model, x)
    >>> np.abs(np.std(model(x), axis=0)).round(3)
    array([1., 1., 1.], dtype=float32)
    """
    if not tf.executing_eagerly():
        raise ValueError(
            "initialize_weight_normalization must be called eagerly, not inside a tf.function: it assigns weights once."
        )
    check_layer("model", model)
    if not model.built:
        # Built in the scope that the model was made in. While the layers are traced they have no values to start from.
        strategy = getattr(model, "distribute_strategy", None)
        with contextlib.nullcontext() if strategy is None else strategy.scope():
            model(*inputs, **kwargs)
    reached: dict = {}
    token = _reached.set(reached)
    try:
        with uncompiled():
            model(*inputs, **kwargs)
    finally:
        _reached.reset(token)
    if not reached:
        raise ValueError(f"The call of {model.name} reaches no WeightNormalization layer: there is nothing to initialize.")
    for layer, gain in reached.values():
        if not np.array_equal(layer.gain.numpy(), gain):
            raise ValueError(
                f"{layer.name} was reached inside the inverse of a flow, where weights are held fixed: call what draws samples."
            )
    return [layer for layer, _ in reached.values()]


def _check_layer(layer):
    name = type(layer).__name__
    check_layer("layer", layer)
    if not hasattr(layer, "use_bias"):
        raise ValueError(f"WeightNormalization takes a layer with a kernel, such as Dense or Conv2D, got {name}.")
    if layer.use_bias:
        raise ValueError(f"WeightNormalization adds the bias itself: make the {name} layer with use_bias=False.")
    if getattr(layer, "activation", keras.activations.linear) is not keras.activations.linear:
        raise ValueError(f"WeightNormalization takes a {name} layer without activation: put the activation behind it.")
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ValueError(f"WeightNormalization takes channels last: make the {name} layer with data_format='channels_last'.")
    if isinstance(getattr(layer, "kernel_initializer", None), keras.initializers.Zeros):
        raise ValueError(
            f"A kernel of zeros has no direction and would never train: give the {name} layer another kernel_initializer, and "
            "WeightNormalization a small initial_scale if the outputs should start near initial_mean."
        )
