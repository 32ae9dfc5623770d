"""What a ladder must know of the likelihood: how images enter the network, and how many parameters leave it."""

import tensorflow as tf

from tfp_iaf import likelihoods

__all__ = ["has_log_scale", "image_range"]

RANGES = {likelihoods.Bernoulli: (0.5, 0.5), likelihoods.DiscretizedLogistic: (127.5, 64.0)}


def image_range(likelihood):
    """(centre, half_range) of its data: an image x enters as (x - centre) / half_range, under most likelihoods as it is.

    >>> image_range(likelihoods.Bernoulli())
    (0.5, 0.5)
    """
    return next((limits for kind, limits in RANGES.items() if isinstance(likelihood, kind)), (0.0, 1.0))


def has_log_scale(likelihood, image_shape):
    """Whether the likelihood takes two parameters per pixel value, one after the other in the last axis, rather than one.

    Raises:
        ValueError: if it takes neither.

    >>> has_log_scale(likelihoods.Normal(), (8, 8, 3)), has_log_scale(likelihoods.Bernoulli(), (8, 8, 3))
    (True, False)
    """
    *size, channels = image_shape
    for count in (1, 2):
        try:
            distribution = likelihood.distribution(tf.zeros([1, *size, count * channels]))
        except ValueError:  # Half of an odd number of channels, for instance.
            continue
        if distribution.batch_shape == [1] and distribution.event_shape == image_shape:
            return count == 2
    raise ValueError(
        f"The likelihood {likelihood.name} makes no distribution of images {image_shape} from one or two parameters per pixel "
        "value: use models.VAE with a decoder that fits it."
    )
