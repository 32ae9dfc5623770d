"""The target density of a joint distribution, pinned or not."""

__all__ = ["log_density"]


def log_density(joint_distribution):
    """The function from samples to the (unnormalized) log-density that a target means; a function is one already."""
    for method in ("unnormalized_log_prob", "log_prob"):
        if hasattr(joint_distribution, method):
            return getattr(joint_distribution, method)
    if callable(joint_distribution):
        return joint_distribution
    raise ValueError(
        "The target must be a joint distribution, pinned or not, or a function from samples to a log-density, got "
        f"{type(joint_distribution).__name__}."
    )
