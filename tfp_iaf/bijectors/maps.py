"""The elementwise maps y -> z of an autoregressive flow, given each entry's parameters.

A map works on tensors, not through `tfb.Bijector`: one evaluation gives the value and the log-derivative, and tracing it inside
a Keras layer leaves nothing behind in TFP. Any elementwise `tfb.Bijector` joins in through `FromBijector`.
"""

import abc

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import _compat, scales
from tfp_iaf._arguments import integer, positive
from tfp_iaf._registered import deserialize

__all__ = ["Affine", "ElementwiseMap", "FromBijector", "Gated", "Location", "Spline", "get", "serialize"]


class ElementwiseMap(abc.ABC):
    """z_i = f(y_i; parameters_i), increasing in y_i: what a user writes to bring a map of their own.

    A subclass sets `params`, the number P of parameters per entry, and defines `forward` and `inverse`. Parameters of zero
    should give a map near the identity: the networks start there. Register the class with
    `keras.saving.register_keras_serializable()` to save models that hold it, and extend `get_config` if its constructor takes
    arguments.

    Both methods return the value together with log df/dy, the log-derivative of the *forward* direction at y.

    >>> class Shift(ElementwiseMap):
    ...     params = 1
    ...     def forward(self, y, parameters):
    ...         return y + parameters[..., 0], tf.zeros_like(y)
    ...     def inverse(self, z, parameters):
    ...         return z - parameters[..., 0], tf.zeros_like(z)
    >>> z, log_derivative = Shift().forward(tf.ones([4]), tf.ones([4, 1]))
    >>> z.numpy()
    array([2., 2., 2., 2.], dtype=float32)
    """

    params = None

    @abc.abstractmethod
    def forward(self, y, parameters):
        """(z, log df/dy at y), both of y's shape `[..., *event]`; `parameters` is `[..., *event, P]`."""

    @abc.abstractmethod
    def inverse(self, z, parameters):
        """(y, log df/dy at y), both of z's shape."""

    def get_config(self):
        """The constructor's arguments, JSON-able."""
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable("tfp_iaf")
class Affine(ElementwiseMap):
    """z = (y - shift) exp(-log_scale): equation 10 of Kingma et al. 2016 (first version), with m = shift, log s = log_scale.

    The log-scale is bounded by `scales.bounded_log_scale`: scales lie within [0.018, 55], or [exp(-b), exp(b)] of a given b. In
    one dimension (D = 1) the map of a Gaussian is a Gaussian.

    A chain multiplies its scales, so 16 flows at b = 4 can overflow float32 while training is far from its target; a smaller b,
    such as 1, prevents that. Shifts are not bounded: no b makes up for a learning rate at which training diverges.

    Args:
        log_scale_bound: b, positive.

    Raises:
        ValueError: for a bound that is not positive.
    """

    params = 2

    def __init__(self, log_scale_bound=scales.LOG_SCALE_BOUND):
        self.log_scale_bound = positive("log_scale_bound", log_scale_bound)

    def __eq__(self, other):
        return type(other) is Affine and other.log_scale_bound == self.log_scale_bound

    def __hash__(self):
        return hash(self.log_scale_bound)

    def get_config(self):
        return {"log_scale_bound": self.log_scale_bound}

    def forward(self, y, parameters):
        shift, log_scale = parameters[..., 0], scales.bounded_log_scale(parameters[..., 1], self.log_scale_bound)
        return (y - shift) * tf.exp(-log_scale), -log_scale

    def inverse(self, z, parameters):
        shift, log_scale = parameters[..., 0], scales.bounded_log_scale(parameters[..., 1], self.log_scale_bound)
        return z * tf.exp(log_scale) + shift, -log_scale


@keras.saving.register_keras_serializable("tfp_iaf")
class Gated(ElementwiseMap):
    """z = s y + (1 - s) m with s = sigmoid(gate): Kingma et al. 2016 (final version), equations 13 and 14.

    The gate's logit is bounded and biased to 2 by `scales.bounded_gate`. Since s < 1, the map only contracts: log|det| < 0, and
    the base has to supply the width. In one dimension (D = 1) the map of a Gaussian is a Gaussian.
    """

    params = 2

    def forward(self, y, parameters):
        m, gate = parameters[..., 0], scales.bounded_gate(parameters[..., 1])
        s = tf.sigmoid(gate)
        return s * (y - m) + m, tf.math.log_sigmoid(gate)

    def inverse(self, z, parameters):
        m, gate = parameters[..., 0], scales.bounded_gate(parameters[..., 1])
        return (z - m) * (1.0 + tf.exp(-gate)) + m, tf.math.log_sigmoid(gate)


@keras.saving.register_keras_serializable("tfp_iaf")
class Location(ElementwiseMap):
    """z = y - shift, which preserves volume."""

    params = 1

    def forward(self, y, parameters):
        return y - parameters[..., 0], tf.zeros_like(y)

    def inverse(self, z, parameters):
        return z + parameters[..., 0], tf.zeros_like(z)


@keras.saving.register_keras_serializable("tfp_iaf")
class FromBijector(ElementwiseMap):
    """The map of a user's function, parameters `[..., P]` -> increasing elementwise `tfb.Bijector`.

    Args:
        bijector_fn: the function; register it with Keras to save models that hold it.
        params: P, the number of parameters per entry.

    Raises:
        ValueError: if `bijector_fn` is not callable, or `params` is no positive integer.
    """

    def __init__(self, bijector_fn, params):
        if not callable(bijector_fn):
            raise ValueError(f"FromBijector takes a function from parameters to a tfb.Bijector, got {bijector_fn!r}.")
        self._bijector_fn = bijector_fn
        self.params = integer("params", params)

    def __eq__(self, other):
        return type(other) is FromBijector and (other._bijector_fn, other.params) == (self._bijector_fn, self.params)

    def __hash__(self):
        return hash((self._bijector_fn, self.params))

    def forward(self, y, parameters):
        bijector = self._bijector_fn(parameters)
        z, log_derivative = bijector.forward(y), bijector.forward_log_det_jacobian(y, event_ndims=0)
        _compat.forget(bijector)
        return z, log_derivative

    def inverse(self, z, parameters):
        bijector = self._bijector_fn(parameters)
        y = bijector.inverse(z)
        log_derivative = bijector.forward_log_det_jacobian(y, event_ndims=0)
        _compat.forget(bijector)
        return y, log_derivative

    def get_config(self):
        return {"bijector_fn": keras.saving.serialize_keras_object(self._bijector_fn), "params": self.params}

    @classmethod
    def from_config(cls, config):
        return cls(deserialize(config["bijector_fn"]), config["params"])


@keras.saving.register_keras_serializable("tfp_iaf")
class Spline(ElementwiseMap):
    """The monotone rational-quadratic spline on [-R, R] with K bins, and the identity outside: P = 3 K - 1.

    Entries beyond R are not transformed, so the base must put its mass inside: standardize the target, learn the base's scale,
    or raise R. Tails beyond R are those of the base.

    The first 2 K parameters are the logits of the bins' widths and heights, the others the K - 1 slopes at the inner knots
    before `scales.softplus_scale`. A bin keeps at least 1/100 of an even share. Parameters of 0 give the identity.

    Args:
        num_bins: K, at least 2.
        half_range: R, positive.

    Raises:
        ValueError: for arguments out of range.

    Source: Durkan et al. 2019 ("Neural spline flows"), section 3.1, through `tfb.RationalQuadraticSpline`.

    >>> Spline(num_bins=4).params
    11
    """

    def __init__(self, num_bins=8, half_range=5.0):
        self.num_bins = integer("num_bins", num_bins, at_least=2)
        self.half_range = positive("half_range", half_range)
        self.params = 3 * self.num_bins - 1
        self._inner = FromBijector(self._spline, self.params)

    def __eq__(self, other):
        return type(other) is Spline and other.get_config() == self.get_config()

    def __hash__(self):
        return hash((self.num_bins, self.half_range))

    def get_config(self):
        return {"num_bins": self.num_bins, "half_range": self.half_range}

    def forward(self, y, parameters):
        return self._apply(self._inner.forward, y, parameters)

    def inverse(self, z, parameters):
        return self._apply(self._inner.inverse, z, parameters)

    def _apply(self, direction, x, parameters):
        # TFP's spline needs a static rank. It starts at 0 and has a bin of size 1 more on either side, where it is not used:
        # under tf.vectorized_map, which ignores the values that tf.pad pads with, its first and last knot are wrong.
        offset = self.half_range + 1.0
        inside = tf.abs(x) < self.half_range
        shifted = tf.clip_by_value(x, -self.half_range, self.half_range) + offset
        flat = direction(tf.reshape(shifted, [-1]), tf.reshape(parameters, [-1, self.params]))
        value, log_derivative = (tf.reshape(part, tf.shape(x)) for part in flat)
        return tf.where(inside, value - offset, x), tf.where(inside, log_derivative, tf.zeros_like(x))

    def _spline(self, parameters):
        bins = self.num_bins
        widths, heights, slopes = tf.split(parameters, [bins, bins, bins - 1], axis=-1)
        one = tf.ones_like(parameters[..., :1])

        def guarded(values):
            return tf.concat([one, values, one], axis=-1)

        def sizes(logits):
            return guarded(2.0 * self.half_range * (0.99 * tf.nn.softmax(logits) + 0.01 / bins))

        return tfp.bijectors.RationalQuadraticSpline(
            sizes(widths), sizes(heights), guarded(scales.softplus_scale(slopes)), range_min=0.0
        )


_NAMED = {"affine": Affine(), "gated": Gated(), "location": Location(), "spline": Spline()}


def get(bijector_fn, params=None):
    """The `ElementwiseMap` that a `bijector_fn` means.

    Args:
        bijector_fn: an `ElementwiseMap`; a name, "affine", "gated", "location" or "spline" (8 bins within [-5, 5], or as many
            bins as `params` says); a pair (function, P) of a function from parameters `[..., *event, P]` to an increasing
            elementwise `tfb.Bijector`; the function alone where `params` is given; or what `serialize` returned.
        params: the number of parameters per entry that the network has; None where none is built yet.

    Raises:
        ValueError: for anything else, and where the map takes another number of parameters than the network has.

    >>> get("spline", params=8).num_bins, get("gated").params
    (3, 2)
    """
    if isinstance(bijector_fn, ElementwiseMap):
        found = bijector_fn
    elif isinstance(bijector_fn, str) and bijector_fn in _NAMED:
        fits = bijector_fn == "spline" and params is not None and params >= 5 and params % 3 == 2
        found = Spline((params + 1) // 3) if fits and params != 23 else _NAMED[bijector_fn]
    elif isinstance(bijector_fn, dict):
        found = deserialize(bijector_fn)
    elif isinstance(bijector_fn, tuple | list) and len(bijector_fn) == 2 and callable(bijector_fn[0]):
        found = FromBijector(*bijector_fn)
    elif callable(bijector_fn) and not isinstance(bijector_fn, type) and params is not None:
        found = FromBijector(bijector_fn, params)
    else:
        hint = ": say how many parameters it takes, bijector_fn=(function, P)" if callable(bijector_fn) else ""
        raise ValueError(
            f"Unknown bijector_fn {bijector_fn!r}{hint}; expected one of {', '.join(sorted(_NAMED))}, an ElementwiseMap, or a "
            "pair (function, P) of a function from parameters [..., P] to an elementwise tfb.Bijector."
        )
    if not isinstance(found, ElementwiseMap):
        raise ValueError(f"bijector_fn must be an ElementwiseMap, got {type(found).__name__}.")
    if params is not None and found.params != params:
        takes = "3 K - 1 parameters per entry for K bins, such as 23" if bijector_fn == "spline" else found.params
        raise ValueError(
            f"bijector_fn={bijector_fn!r} takes {takes}{'' if bijector_fn == 'spline' else ' parameter(s) per entry'}, but the "
            f"network has params={params}; build it with params={found.params}."
        )
    return found


def serialize(elementwise_map):
    """What `get` turns back into an equal map: its name where that says it all.

    >>> serialize(Affine()), serialize(Spline())
    ('affine', 'spline')
    """
    for name, named in _NAMED.items():
        if type(elementwise_map) is type(named) and elementwise_map.get_config() == named.get_config():
            return name
    return keras.saving.serialize_keras_object(elementwise_map)
