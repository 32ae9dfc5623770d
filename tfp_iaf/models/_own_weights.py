"""A model's own weights, and what else a training step reads."""

import warnings

__all__ = ["check_variables"]


def check_variables(read, own):
    """Looks at the variables that a training step has read.

    Args:
        read: `tf.Variable`s.
        own: those that the model trains, saves, or needs no file for.

    Raises:
        ValueError: for others that are trainable. For others that are not it warns.
    """
    # One for each replica of tf.distribute.
    known = {id(replica) for variable in own for replica in getattr(variable, "values", (variable,))}
    others = [variable for variable in read if id(variable) not in known]
    names = {flag: ", ".join(sorted(each.name for each in others if each.trainable == flag)[:3]) for flag in (True, False)}
    if names[True]:
        raise ValueError(
            f"The model reads trainable variables ({names[True]}) that are none of its weights, so that fit would neither "
            "train nor save them: make them with add_weight of the layer that reads them, or hold their layer as an attribute "
            "of the model (with trainable=False, if it is to stay as it is)."
        )
    if names[False]:
        warnings.warn(
            f"The model reads variables ({names[False]}) that are none of its weights, so that no file holds them: make them "
            "with add_weight(trainable=False) of the layer that reads them, or make constants of them.",
            stacklevel=2,
        )
