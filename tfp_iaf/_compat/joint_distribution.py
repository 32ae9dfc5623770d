"""Bijectors of TFP's joint distributions as parts of other objects."""

import tensorflow as tf

__all__ = ["fixed", "is_fixed", "variables_of_fixed"]


def fixed(bijector):
    """A bijector of a joint distribution, whose variables belong to nothing that holds the bijector.

    The event-space bijector of a joint distribution holds the joint distribution, and with it its variables: an object that
    holds the bijector would train them. A checkpoint would follow them, too, and fail, since a joint distribution keeps its
    parts in a dict whose keys are numbers of graphs.

    >>> import tensorflow_probability as tfp
    >>> joint = tfp.distributions.JointDistributionSequential([tfp.distributions.Uniform(0.0, tf.Variable(2.0))])
    >>> bijector = fixed(joint.experimental_default_event_space_bijector())
    >>> joint.event_shape, len(bijector.trainable_variables), len(variables_of_fixed(bijector))
    ([TensorShape([])], 0, 1)
    """
    hidden = {
        "_variables_of_fixed": tuple(bijector.variables) if isinstance(bijector, tf.Module) else (),
        # Where `tf.Module` and checkpoints look.
        "_TF_MODULE_IGNORED_PROPERTIES": _Everything(),
        "_trackable_children": lambda *args, **kwargs: {},
    }
    for name, value in hidden.items():
        object.__setattr__(bijector, name, value)
    return bijector


def is_fixed(bijector):
    """Whether a bijector was made `fixed`."""
    return "_variables_of_fixed" in vars(bijector)


def variables_of_fixed(module):
    """The variables of the bijectors made `fixed` in a `tf.Module`, or of one such bijector."""
    parts = (module, *module.submodules)
    return tuple(variable for part in parts for variable in vars(part).get("_variables_of_fixed", ()))


class _Everything:
    """Contains all names."""

    def __contains__(self, name):
        return True
