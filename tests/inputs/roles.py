"""What each parameter of the public interface takes, by its name: which of the kinds of values are right for it."""

import math
import numbers
import operator
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import likelihoods, models, networks, posteriors, priors

__all__ = ["ROLES", "Role", "optional"]


class Role(NamedTuple):
    """What a parameter takes.

    Args:
        takes: whether a value is right for it, or its meaning a matter of taste: then it is no case.
        mistakes: names of the tables of `kinds.MISTAKES` that hold for it.
    """

    takes: Callable
    mistakes: tuple = ()


def optional(role):
    return Role(lambda value: value is None or role.takes(value), role.mistakes)


def either(*some):
    return Role(lambda value: any(role.takes(value) for role in some))


def integer_from(lowest, largest_tried=2**40):
    """What is larger than `largest_tried` would be computed with for ever."""

    def takes(value):
        try:
            number = operator.index(value)
        except TypeError:
            return False
        return not isinstance(value, bool) and (number >= lowest or number > largest_tried)

    return Role(takes)


def number(test):
    """Numbers that no float32 holds to the last digit are left out."""

    def takes(value):
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        return is_number and (bool(test(value)) or 2.0**60 < value < np.inf)

    return Role(takes)


def counts(lengths, lowest=1):
    def takes(value):
        is_sequence = isinstance(value, list | tuple | np.ndarray) and len(value) in lengths
        return is_sequence and all(integer_from(lowest).takes(each) for each in value)

    return Role(takes)


def one_of(*names):
    return Role(lambda value: isinstance(value, str) and value in names)


def instance_of(*kinds):
    return Role(lambda value: isinstance(value, kinds))


def order(has_random):
    names = ("left-to-right", "right-to-left", *(["random"] if has_random else []))
    return either(one_of(*names))


NEVER = Role(lambda value: False)
COUNT = integer_from(1)
COUNT_OR_ZERO = integer_from(0)
POSITIVE = number(lambda value: 0.0 < value < np.inf)
NON_NEGATIVE = number(lambda value: 0.0 <= value < np.inf)
FINITE = number(math.isfinite)
PART = number(lambda value: 0.0 <= value <= 1.0)
ONE = number(lambda value: value == 1.0)
FLAG = instance_of(bool, np.bool_)
SEED = Role(lambda value: type(value) is int and -(2**31) <= value < 2**31)
LAYER_SEED = optional(Role(lambda value: type(value) is int and 0 <= value < 2**32))
MASK_SEED = optional(integer_from(0))
ANY_NUMBER_OF = range(1000)
SIZES = counts(ANY_NUMBER_OF)
SIZES_OR_NONE = optional(SIZES)
SIZES_NOT_EMPTY = counts(ANY_NUMBER_OF[1:])
SIZE_OR_SIZES = either(COUNT, SIZES_NOT_EMPTY)
PAIR = counts((1, 2))
PLACES = counts((2, 3))
LATENT = counts((1, 2, 3))
EVENT = either(COUNT, counts((1,)))
TEXT = Role(lambda value: isinstance(value, str))
FUNCTION = Role(callable)
LIKELIHOOD = either(FUNCTION, instance_of(likelihoods.Likelihood))
MAP = either(FUNCTION, one_of("affine", "gated", "location", "monotone", "spline"))
# Of an activation or an initializer, what else Keras may call.
IDENTIFIER = Role(lambda value: value is None or callable(value) or value == {})
PATH = Role(lambda value: hasattr(value, "__fspath__") or (isinstance(value, str) and value != ""))
# Arrays: any value by itself is one of the wrong shape.
ARRAY = Role(NEVER.takes, ("shape", "dtype"))
# Those with as many rows as another argument.
ROWS = Role(NEVER.takes, ("shape", "dtype", "rows"))
SYMBOLIC = instance_of(keras.KerasTensor)
FEATURES = Role(SYMBOLIC.takes, ("shape", "dtype"))
VALUES = Role(NEVER.takes, ("shape", "dtype", "values", "range"))
DATA = Role(NEVER.takes, ("shape", "dtype", "values", "range", "datasets"))
WEIGHTS = optional(Role(NEVER.takes, ("dtype", "values", "rows")))


def _is_numeric(value):
    try:
        dtype = tf.convert_to_tensor(value).dtype
    except Exception:  # Whatever TensorFlow raises.
        return False
    return dtype.is_floating or dtype.is_integer or dtype == tf.bool


# What broadcasts: any shape.
NUMBERS = Role(_is_numeric, ("dtype",))
CHECKED = Role(_is_numeric, ("dtype", "values"))
# One row that all share is right, too.
CONTEXT = Role(lambda value: isinstance(value, np.ndarray) and value.dtype == float and value.shape == (3,), ROWS.mistakes)
CONDITION = Role(CONTEXT.takes, ("shape", "dtype", "values", "range", "rows"))
STATISTICS = Role(lambda value: _is_numeric(value) and np.ndim(value) == 1 and len(value) > 1, ("dtype",))


def events(size):
    return Role(lambda value: isinstance(value, tuple) and len(value) == size, ARRAY.mistakes)


def _named(role, names):
    return dict.fromkeys(names.split(), role)


ROLES = {
    **_named(
        COUNT,
        "params num_flows num_samples num_components num_sigmoids num_steps sample_size batch_size max_rows epochs every n "
        "latent_size num_leapfrog_steps event_ndims filters patch_size latent_channels stride upsample "
        "event_size num_units",
    ),
    "units": SIZE_OR_SIZES,
    "num_bins": integer_from(2),
    **_named(optional(COUNT), "num_columns num_reflections num_blocks condition_size feature_size"),
    "kernel_size": SIZE_OR_SIZES,
    "annealing_steps": COUNT_OR_ZERO,
    **_named(SIZES_OR_NONE, "hidden_units flow_filters"),
    "num_layers": SIZES_NOT_EMPTY,
    **_named(NEVER, "latent_shape event_shape"),
    "image_shape": counts((3,)),
    "data_shape": SIZES,
    **_named(optional(COUNT_OR_ZERO), "context_size context_channels"),
    "conditional_event_shape": optional(EVENT),
    "bijector_fn": one_of("affine", "gated", "location", "monotone", "spline"),
    **_named(one_of("auto"), "inverse"),
    "input_order": order(has_random=True),
    **_named(NEVER, "hidden_degrees choice kept"),
    **_named(counts(ANY_NUMBER_OF[1:], lowest=-(2**40)), "in_degrees out_degrees degrees"),
    **_named(
        IDENTIFIER,
        "activation kernel_initializer bias_initializer kernel_regularizer bias_regularizer kernel_constraint bias_constraint",
    ),
    **_named(
        FLAG,
        "residual weight_norm use_bias strict reverse overwrite verbose return_standard_error return_effective_sample_size "
        "soft_free_bits recompute shuffle conditional validate_args with_context sample training",
    ),
    "jit_compile": optional(FLAG),
    "seed": LAYER_SEED,
    **_named(NON_NEGATIVE, "temperature free_bits initial_scale"),
    **_named(POSITIVE, "row_norm relative_scale log_scale_bound half_range end"),
    "initial_mean": FINITE,
    "start": PART,
    "learning_rates": Role(
        lambda value: isinstance(value, list | tuple | np.ndarray) and len(value) and all(map(POSITIVE.takes, value))
    ),
    **_named(NEVER, "cell variant version objective inference base identifier"),
    "conditional_input_layers": optional(NEVER),
    "likelihood": LIKELIHOOD,
    "prior": optional(either(FUNCTION, instance_of(priors.Prior, tfp.distributions.Distribution))),
    **_named(instance_of(keras.layers.Layer), "encoder decoder"),
    **_named(NEVER, "layer layer_type"),
    "network": instance_of(networks.Network),
    "posterior": instance_of(posteriors.Posterior),
    "model": instance_of(models.ElboModel),
    **_named(PATH, "path filepath log_dir"),
    "checkpoint": optional(PATH),
    "name": optional(TEXT),
    "dtype": optional(one_of("float32", "float64", "bfloat16")),
    **_named(FUNCTION, "target_log_prob_fn function"),
    "joint_distribution": either(FUNCTION, instance_of(tfp.distributions.Distribution)),
    "distribution_fn": either(FUNCTION, instance_of(tfp.distributions.Distribution)),
    "surrogate_posterior": instance_of(tfp.distributions.Distribution),
    "structure": instance_of(tfp.bijectors.Bijector),
    **_named(ARRAY, "y u w r s off_diagonal"),
    **_named(optional(ARRAY), "columns reflections"),
    **_named(ROWS, "z noise"),
    "features": FEATURES,
    "context": CONTEXT,
    **_named(Role(_is_numeric, ("dtype",)), "b width slope step_size"),
    "center": ARRAY,
    "x": DATA,
    "condition": CONDITION,
    **_named(NUMBERS, "reconstruction kl log_weights bound log_q score inverse_temperature log_likelihood"),
}
