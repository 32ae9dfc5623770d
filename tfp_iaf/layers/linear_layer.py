"""Linear layers with or without weight normalization."""

from __future__ import annotations

from typing import Any

import keras

from tfp_iaf._arguments import flag, given, non_negative
from tfp_iaf.layers.weight_normalization import WeightNormalization

__all__ = ["linear_layer"]


def linear_layer(
    layer_type: type[keras.layers.Layer],
    *args: Any,
    weight_norm: bool = True,
    initial_scale: float = 1.0,
    name: str | None = None,
    **kwargs: Any,
) -> keras.layers.Layer:
    """`layer_type(*args, **kwargs)`, a linear Keras layer with a bias, which is weight-normalized unless `weight_norm` is
    false.

    At first its outputs are of the order of `initial_scale` times its inputs: without weight normalization
    sqrt(2 F / (F + N)) times that, for F inputs and N outputs of the same kind (Glorot and Bengio 2010).

    Args:
        layer_type: a class of linear Keras layers, such as `keras.layers.Dense`.
        *args, **kwargs: its arguments; not `use_bias`, `kernel_initializer`.
        weight_norm: whether the layer is wrapped in `WeightNormalization`.
        initial_scale: factor of the initial kernel.
        name: name of the layer.

    Raises:
        ValueError: for another `layer_type`, a negative `initial_scale`, and `use_bias` or `kernel_initializer`.

    >>> linear_layer(keras.layers.Dense, 3, name="features").name
    'features'
    """
    if not (isinstance(layer_type, type) and issubclass(layer_type, keras.layers.Layer)):
        raise ValueError(f"layer_type must be a class of Keras layers, such as keras.layers.Dense, got {given(layer_type)}.")
    for argument in sorted({"use_bias", "kernel_initializer"} & set(kwargs)):
        raise ValueError(f"linear_layer sets {argument} itself, got {given(kwargs[argument])}: leave it out.")
    initial_scale = non_negative("initial_scale", initial_scale)
    if not flag("weight_norm", weight_norm):
        # Keras's default, scaled.
        initializer = keras.initializers.VarianceScaling(initial_scale**2, mode="fan_avg", distribution="uniform")
        return layer_type(*args, kernel_initializer=initializer, name=name, **kwargs)
    return WeightNormalization(layer_type(*args, use_bias=False, **kwargs), initial_scale=initial_scale, name=name)
