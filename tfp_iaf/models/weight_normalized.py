"""Linear layers with or without weight normalization."""

from tfp_iaf.networks import WeightNormalization

__all__ = ["weight_normalized"]


def weight_normalized(layer_type, *args, weight_norm=True, initial_scale=1.0, name=None, **kwargs):
    """`layer_type(*args, **kwargs)`, a linear Keras layer with a bias, weight-normalized unless `weight_norm` is false.

    >>> import keras
    >>> weight_normalized(keras.layers.Dense, 3, name="features").name
    'features'
    """
    if not weight_norm:
        return layer_type(*args, name=name, **kwargs)
    return WeightNormalization(layer_type(*args, use_bias=False, **kwargs), initial_scale=initial_scale, name=name)
