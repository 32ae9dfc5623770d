"""The target density of a joint distribution, pinned or not, and what it asks of a surrogate."""

import re

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf._arguments import given
from tfp_iaf._tensors import check_numbers
from tfp_iaf.posteriors import Posterior
from tfp_iaf.vi.surrogate import AmortizedSurrogatePosterior

__all__ = ["at_draws", "check_one_posterior", "log_density"]


def at_draws(target, z, log_q):
    """log p(z) of the function `target`, one number for each draw, as log q(z) has.

    Raises:
        ValueError: for a function that fails on the draws, or gives something else.

    >>> at_draws(lambda z: -0.5 * tf.reduce_sum(z**2, axis=-1), tf.zeros([3, 2]), tf.zeros([3])).shape
    TensorShape([3])
    """
    draws = given(tf.nest.map_structure(lambda part: tuple(part.shape), z))
    try:
        log_p = target(z)
    except (AttributeError, NotImplementedError, TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
        # TensorFlow names operations inside the target, by names that it made itself.
        line = re.sub(r" for '\{\{node .*?'", "", (str(error).strip() or type(error).__name__).splitlines()[0]).rstrip(".")
        raise ValueError(
            f"The target failed on draws of shape {draws}: {line}. It must take one argument, a batch of draws in this "
            "structure, and compute with TensorFlow."
        ) from error
    check_numbers("The target's log-density", log_p)
    log_p = tf.convert_to_tensor(log_p)
    if not log_p.shape.is_compatible_with(log_q.shape):
        raise ValueError(
            f"The target must give a log-density for each draw, {tuple(log_q.shape)} for draws of shape {draws}, got shape "
            f"{tuple(log_p.shape)}: add up the entries of each draw, as tf.reduce_sum(..., axis=-1) does of vectors."
        )
    return log_p


def check_one_posterior(surrogate):
    """Raises a ValueError for what is no distribution, and for one with a batch of posteriors.

    >>> check_one_posterior(tfp.distributions.Normal(0.0, 1.0))
    """
    # TFP's trainable distributions are `tfp.experimental.util.DeferredModule`s, and no instances of tfd.Distribution.
    if isinstance(surrogate, type) or not hasattr(surrogate, "experimental_sample_and_log_prob"):
        remedies = {AmortizedSurrogatePosterior: "surrogate(features) of one row", Posterior: "vi.without_features(layer)"}
        remedy = next((f": take {each}" for kind, each in remedies.items() if isinstance(surrogate, kind)), "")
        raise ValueError(f"surrogate_posterior must be a tfd.Distribution, got {given(surrogate)}{remedy}.")
    for batch_shape in map(tf.TensorShape, tf.nest.flatten(surrogate.batch_shape)):
        if batch_shape.num_elements() not in (None, 1):
            raise ValueError(
                f"surrogate_posterior must be one posterior, got batch shape {tuple(batch_shape)}: take them one by one, such "
                "as an amortized surrogate of one row of features."
            )


def log_density(joint_distribution, surrogate):
    """The function from samples to the (unnormalized) log-density that a target means; a function is one already.

    Raises:
        ValueError: for anything else; for a target of another structure than that of the surrogate's samples.
    """
    if isinstance(joint_distribution, tfp.distributions.Distribution):
        try:
            tf.nest.assert_same_structure(joint_distribution.dtype, surrogate.dtype)
        except (TypeError, ValueError):
            raise ValueError(
                f"The target is a density of {given(joint_distribution.dtype)}, and the surrogate draws "
                f"{given(surrogate.dtype)}: build the surrogate for this target."
            ) from None
    for method in ("unnormalized_log_prob", "log_prob"):
        if hasattr(joint_distribution, method):
            return getattr(joint_distribution, method)
    if callable(joint_distribution):
        return joint_distribution
    raise ValueError(
        "The target must be a joint distribution, pinned or not, or a function from samples to a log-density, got "
        f"{given(joint_distribution)}."
    )
