"""The maps that are linear in y: affine, gated, location."""

import keras
import tensorflow as tf

from tfp_iaf import scales
from tfp_iaf._arguments import positive
from tfp_iaf.bijectors.maps.base import ElementwiseMap

__all__ = ["Affine", "Gated", "Location"]


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
