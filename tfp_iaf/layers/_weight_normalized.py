"""Linear layers with or without weight normalization."""

import keras

from tfp_iaf.layers.weight_normalization import WeightNormalization

__all__ = ["weight_normalized"]


def weight_normalized(layer_type, *args, weight_norm=True, initial_scale=1.0, name=None, **kwargs):
    """`layer_type(*args, **kwargs)`, a linear Keras layer with a bias, weight-normalized unless `weight_norm` is false.

    Its outputs are of the order of `initial_scale` times its inputs at first.

    >>> weight_normalized(keras.layers.Dense, 3, name="features").name
    'features'
    """
    if not weight_norm:
        # Keras's default, scaled.
        initializer = keras.initializers.VarianceScaling(initial_scale**2, mode="fan_avg", distribution="uniform")
        return layer_type(*args, kernel_initializer=initializer, name=name, **kwargs)
    return WeightNormalization(layer_type(*args, use_bias=False, **kwargs), initial_scale=initial_scale, name=name)
