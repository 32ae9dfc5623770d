"""Joint distributions of TFP inside of what `tf.train.Checkpoint` writes."""

__all__ = ["without_joint_distribution"]


def without_joint_distribution(bijector):
    """The event-space bijector of a joint distribution, whose checkpoints do not follow the joint distribution itself.

    A joint distribution keeps its parts in a dict whose keys are numbers of graphs, and TensorFlow writes no such dict.

    >>> import tensorflow as tf
    >>> import tensorflow_probability as tfp
    >>> joint = tfp.distributions.JointDistributionSequential([tfp.distributions.Normal(0.0, 1.0)])
    >>> bijector = without_joint_distribution(joint.experimental_default_event_space_bijector())
    >>> joint.event_shape
    [TensorShape([])]
    >>> path = tf.train.Checkpoint(bijector=bijector).write("joint")
    """
    # That of an auto-batched joint distribution holds another.
    for each in (bijector, vars(bijector).get("_joint_bijector")):
        if hasattr(each, "_jd"):
            joint_distribution = each._jd
            # Deleting an attribute ends its tracking, which an assignment of Python's own does not begin.
            del each._jd
            object.__setattr__(each, "_jd", joint_distribution)
    return bijector
