"""The target density of a joint distribution, pinned or not."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf._arguments import given

__all__ = ["log_density"]


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
