"""The elementwise maps y -> z of an autoregressive step, given each entry's parameters.

A map works on tensors, not through `tfb.Bijector`, so that one evaluation gives the value and the log-derivative, and
tracing it inside a Keras layer leaves nothing behind in TFP's bijector cache. Any elementwise `tfb.Bijector` joins in
through `FromBijector`.
"""

import abc

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf.bijectors import scales

__all__ = ["Affine", "ElementwiseMap", "FromBijector", "Gated", "Location", "Spline", "get", "params_of"]


class ElementwiseMap(abc.ABC):
    """z_i = f(y_i; params_i), increasing in y_i. `params` is P, the parameters an entry takes."""

    params = None

    @classmethod
    def accepts(cls, params):
        """Whether the map takes this number of parameters an entry."""
        return cls.params in (None, params)

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


class Spline(FromBijector):
    """The monotone rational-quadratic spline on [-5, 5] with K bins, the identity outside: P = 3 K - 1 parameters an entry.

    The first 2 K parameters are the logits of the bins' widths and heights, the others the K - 1 slopes at the inner knots
    before `scales.softplus_scale`. A bin keeps at least 1/100 of an even share. Parameters of 0 give the identity.
    Durkan et al. 2019 ("Neural spline flows"), section 3.1, through `tfb.RationalQuadraticSpline`.
    """

    # 8 bins, for networks whose size the name has to settle.
    params = 23
    half_range = 5.0

    def __init__(self):
        super().__init__(self._spline)

    @classmethod
    def accepts(cls, params):
        return params >= 5 and params % 3 == 2

    def _spline(self, parameters):
        bins = (parameters.shape[-1] + 1) // 3
        widths, heights, slopes = tf.split(parameters, [bins, bins, bins - 1], axis=-1)

        def sizes(logits):
            return 2.0 * self.half_range * (0.99 * tf.nn.softmax(logits) + 0.01 / bins)

        return tfp.bijectors.RationalQuadraticSpline(
            sizes(widths), sizes(heights), scales.softplus_scale(slopes), range_min=-self.half_range
        )


def _forget(bijector):
    """Clears what TFP's cache keeps for the bijector and its parts: it would keep every graph traced here alive."""
    for part in (bijector, *bijector.submodules):
        if isinstance(part, tfp.bijectors.Bijector):
            part._cache.clear()


_NAMED = {"affine": Affine, "gated": Gated, "location": Location, "spline": Spline}


def get(identifier):
    """The `ElementwiseMap` of a name ("affine", "gated", "location", "spline"), or of a callable parameters -> `tfb.Bijector`.

    >>> get("gated").params
    2
    """
    if isinstance(identifier, str) and identifier in _NAMED:
        return _NAMED[identifier]()
    if callable(identifier):
        return FromBijector(identifier)
    raise ValueError(
        f"Unknown bijector_fn {identifier!r}: expected one of {', '.join(sorted(_NAMED))}, or a callable "
        "from parameters [..., D, P] to an elementwise tfb.Bijector."
    )


def params_of(name):
    """P, the number of parameters an entry takes in the named map.

    >>> params_of("affine"), params_of("location")
    (2, 1)
    """
    if not isinstance(name, str) or name not in _NAMED:
        raise ValueError(f"Unknown bijector_fn {name!r}: expected one of {', '.join(sorted(_NAMED))}.")
    return _NAMED[name].params
