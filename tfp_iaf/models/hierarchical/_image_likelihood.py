"""What a ladder must know of the likelihood: how many parameters leave the network."""

import tensorflow as tf

__all__ = ["has_log_scale"]


def has_log_scale(likelihood, image_shape, dtype=tf.float32):
    """Whether the likelihood takes two parameters per pixel value, one after the other in the last axis, rather than one.

    Raises:
        ValueError: if it takes neither.

    >>> from tfp_iaf import likelihoods
    >>> has_log_scale(likelihoods.Normal(), (8, 8, 3)), has_log_scale(likelihoods.Bernoulli(), (8, 8, 3))
    (True, False)
    """
    *size, channels = image_shape
    is_batch = False
    for count in (1, 2):
        try:
            distribution = likelihood.distribution(tf.zeros([1, *size, count * channels], dtype))
        except (TypeError, ValueError, tf.errors.InvalidArgumentError):  # Half of an odd number of channels, for instance.
            continue
        if distribution.batch_shape == [1] and distribution.event_shape == image_shape:
            return count == 2
        is_batch |= distribution.batch_shape.concatenate(distribution.event_shape) == [1, *image_shape]
    remedy = "wrap it in tfd.Independent" if is_batch else "use models.VAE with a decoder that fits it"
    raise ValueError(
        f"The likelihood {likelihood.name} makes no distribution of images {image_shape} from one or two parameters per pixel "
        f"value: {remedy}."
    )
