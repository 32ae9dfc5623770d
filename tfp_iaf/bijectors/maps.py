"""The elementwise maps y -> z of an autoregressive step, given each entry's parameters.

A map works on tensors, not through `tfb.Bijector`, so that one evaluation gives the value and the log-derivative, and
tracing it inside a Keras layer leaves nothing behind in TFP's bijector cache. Any elementwise `tfb.Bijector` joins in
through `FromBijector`.
"""

import abc

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import scales

__all__ = ["Affine", "ElementwiseMap", "FromBijector", "Gated", "Location", "Spline", "get", "params_of"]


class ElementwiseMap(abc.ABC):
    """z_i = f(y_i; params_i), increasing in y_i. `params` is P, the number of parameters an entry takes."""

    params = None

    @abc.abstractmethod
    def forward(self, y, parameters):
        """(z, log dz/dy), both of y's shape; `parameters` is `[..., D, P]`."""

    @abc.abstractmethod
    def inverse(self, z, parameters):
        """(y, log dz/dy), the latter of the forward direction, at y."""


class Affine(ElementwiseMap):
    """z = (y - shift) exp(-log_scale): equation 10 of Kingma et al. 2016 (first version), with m = shift, log s = log_scale.

    The log-scale is bounded by `scales.bounded_log_scale`.
    """

    params = 2

    def forward(self, y, parameters):
        shift, log_scale = self._shift_and_log_scale(parameters)
        return (y - shift) * tf.exp(-log_scale), -log_scale

    def inverse(self, z, parameters):
        shift, log_scale = self._shift_and_log_scale(parameters)
        return z * tf.exp(log_scale) + shift, -log_scale

    def _shift_and_log_scale(self, parameters):
        return parameters[..., 0], scales.bounded_log_scale(parameters[..., 1])


class Gated(ElementwiseMap):
    """z = s y + (1 - s) m with s = sigmoid(gate): Kingma et al. 2016 (final version), equations 13 and 14.

    The gate's logit is bounded and biased to 2 by `scales.bounded_gate`.
    """

    params = 2

    def forward(self, y, parameters):
        m, gate = parameters[..., 0], scales.bounded_gate(parameters[..., 1])
        s = tf.sigmoid(gate)
        return s * (y - m) + m, tf.math.log_sigmoid(gate)

    def inverse(self, z, parameters):
        m, gate = parameters[..., 0], scales.bounded_gate(parameters[..., 1])
        return (z - m) * (1.0 + tf.exp(-gate)) + m, tf.math.log_sigmoid(gate)


class Location(ElementwiseMap):
    """z = y - shift, which preserves volume."""

    params = 1

    def forward(self, y, parameters):
        return y - parameters[..., 0], tf.zeros_like(y)

    def inverse(self, z, parameters):
        return z + parameters[..., 0], tf.zeros_like(z)


class FromBijector(ElementwiseMap):
    """The map of a user's function, parameters `[..., D, P]` -> increasing elementwise `tfb.Bijector`."""

    def __init__(self, bijector_fn):
        self._bijector_fn = bijector_fn

    def forward(self, y, parameters):
        bijector = self._bijector_fn(parameters)
        z, log_derivative = bijector.forward(y), bijector.forward_log_det_jacobian(y, event_ndims=0)
        _forget(bijector)
        return z, log_derivative

    def inverse(self, z, parameters):
        bijector = self._bijector_fn(parameters)
        y = bijector.inverse(z)
        log_derivative = bijector.forward_log_det_jacobian(y, event_ndims=0)
        _forget(bijector)
        return y, log_derivative


class Spline(ElementwiseMap):
    """The monotone rational-quadratic spline on [-5, 5] with K bins, the identity outside: P = 3 K - 1 parameters an entry.

    The first 2 K parameters are the logits of the bins' widths and heights, the others the K - 1 slopes at the inner knots
    before `scales.softplus_scale`. A bin keeps at least 1/100 of an even share. Parameters of 0 give the identity.
    Durkan et al. 2019 ("Neural spline flows"), section 3.1, through `tfb.RationalQuadraticSpline`.
    """

    # 8 bins, unless a network has another number.
    params = 23
    half_range = 5.0

    def __init__(self, params=params):
        if params < 5 or params % 3 != 2:
            raise ValueError(
                f"bijector_fn='spline' takes 3 K - 1 parameters an entry for K >= 2 bins, such as 23, got {params}."
            )
        self.params = params
        self._inner = FromBijector(self._spline)

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
        bins = (self.params + 1) // 3
        widths, heights, slopes = tf.split(parameters, [bins, bins, bins - 1], axis=-1)
        one = tf.ones_like(parameters[..., :1])

        def guarded(values):
            return tf.concat([one, values, one], axis=-1)

        def sizes(logits):
            return guarded(2.0 * self.half_range * (0.99 * tf.nn.softmax(logits) + 0.01 / bins))

        return tfp.bijectors.RationalQuadraticSpline(
            sizes(widths), sizes(heights), guarded(scales.softplus_scale(slopes)), range_min=0.0
        )


def _forget(bijector):
    """Clears what TFP's cache keeps for the bijector and its parts: it would keep every graph traced here alive."""
    for part in (bijector, *bijector.submodules):
        if isinstance(part, tfp.bijectors.Bijector):
            part._cache.clear()


_NAMED = {"affine": Affine, "gated": Gated, "location": Location, "spline": Spline}


def get(identifier, params):
    """The `ElementwiseMap` meant by a `bijector_fn`.

    Args:
        identifier: "affine", "gated", "location", "spline", or a callable parameters `[..., D, P]` -> `tfb.Bijector`.
        params: P, the number of parameters an entry has.

    Raises:
        ValueError: for an unknown name, or another number than the named map takes.

    >>> get("spline", params=8).params
    8
    """
    if callable(identifier):
        return FromBijector(identifier)
    expected = params_of(identifier)
    if identifier == "spline":
        return Spline(params)
    if params != expected:
        raise ValueError(
            f"bijector_fn={identifier!r} takes {expected} parameter(s) an entry, but the network has params={params}; "
            f"build it with params={expected}."
        )
    return _NAMED[identifier]()


def params_of(name):
    """P, the number of parameters an entry takes in the named map.

    >>> params_of("affine"), params_of("location")
    (2, 1)
    """
    if not isinstance(name, str) or name not in _NAMED:
        raise ValueError(
            f"Unknown bijector_fn {name!r}: expected one of {', '.join(sorted(_NAMED))}, or a callable "
            "from parameters [..., D, P] to an elementwise tfb.Bijector."
        )
    return _NAMED[name].params
