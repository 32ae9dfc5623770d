"""The discretized logistic distribution of 8-bit levels."""

import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["DiscretizedLogisticDistribution"]

tfd = tfp.distributions

NUM_LEVELS = 256


class DiscretizedLogisticDistribution(tfp.distributions.Distribution):
    """A logistic variable on [0, 1], rounded down to one of 256 bins; the outer bins take the tails.

    ```none
    P(k) = F((k + 1)/256) - F(k/256),   F(x) = sigmoid((x - loc)/scale),   k = 0..255,   F(0) := 0,   F(1) := 1
    ```

    so the probabilities sum to 1 for any location and scale. The log of the difference is computed as
    log sigmoid(b) + log sigmoid(-a) + log(1 - exp(a - b)) with b - a = 1/(256 scale), which neither cancels nor overflows;
    in float32 it and its gradients are finite for log-scales from -80 to 40.

    Samples and levels are floats of the parameters' dtype. Sampling is not reparameterized.

    Args:
        loc: floating tensor, in pixel units: 0 is the lower edge of level 0, and 1 the upper edge of level 255.
        log_scale: log of the logistic's scale in the same units; broadcasts with `loc`.
        validate_args: whether to check that values are levels, at some cost.
        allow_nan_stats, name: as in `tfd.Distribution`.

    Raises:
        tf.errors.InvalidArgumentError: with `validate_args`, for values other than the integers 0 to 255.

    Source: Kingma et al. 2016, the likelihood of the CIFAR-10 model.

    >>> distribution = DiscretizedLogisticDistribution(loc=0.5, log_scale=-3.0)
    >>> levels = tf.range(256.0)
    >>> round(float(tf.reduce_sum(distribution.prob(levels))), 4)
    1.0
    >>> round(float(distribution.mean()), 2), float(distribution.mode())
    (127.5, 128.0)
    """

    def __init__(self, loc, log_scale, validate_args=False, allow_nan_stats=True, name="DiscretizedLogisticDistribution"):
        parameters = dict(locals())
        with tf.name_scope(name) as name:
            self._loc = tf.convert_to_tensor(loc, dtype_hint=tf.float32, name="loc")
            self._log_scale = tf.convert_to_tensor(log_scale, dtype=self._loc.dtype, name="log_scale")
            super().__init__(
                dtype=self._loc.dtype,
                reparameterization_type=tfd.NOT_REPARAMETERIZED,
                validate_args=validate_args,
                allow_nan_stats=allow_nan_stats,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {"loc": tfp.util.ParameterProperties(), "log_scale": tfp.util.ParameterProperties()}

    @property
    def loc(self):
        """The location, in pixel units."""
        return self._loc

    @property
    def log_scale(self):
        """The log of the scale, in pixel units."""
        return self._log_scale

    def _event_shape(self):
        return tf.TensorShape([])

    def _event_shape_tensor(self):
        return tf.constant([], dtype=tf.int32)

    def _sample_n(self, n, seed=None):
        x = tfd.Logistic(self.loc, tf.exp(self.log_scale)).sample(n, seed=seed)
        return tf.clip_by_value(tf.floor(NUM_LEVELS * x), 0.0, NUM_LEVELS - 1.0)

    def _sample_control_dependencies(self, value):
        if not self.validate_args:
            return []
        value = tf.cast(value, self.dtype)
        message = "A level is an integer from 0 to 255."
        return [
            tf.debugging.assert_equal(value, tf.floor(value), message),
            tf.debugging.assert_non_negative(value, message),
            tf.debugging.assert_less(value, tf.cast(NUM_LEVELS, self.dtype), message),
        ]

    def _log_prob(self, level):
        level = tf.cast(level, self.dtype)
        inverse_scale = tf.exp(-self.log_scale)
        lower = (level / NUM_LEVELS - self.loc) * inverse_scale
        upper = ((level + 1.0) / NUM_LEVELS - self.loc) * inverse_scale
        # The outer levels have one edge: P(0) = sigmoid(upper), P(255) = sigmoid(-lower).
        is_first, is_last, zero = level <= 0.0, level >= NUM_LEVELS - 1.0, tf.zeros([], self.dtype)
        return (
            tf.where(is_last, zero, tf.math.log_sigmoid(upper))
            + tf.where(is_first, zero, tf.math.log_sigmoid(-lower))
            + tf.where(is_first | is_last, zero, tf.math.log(-tf.math.expm1(-inverse_scale / NUM_LEVELS)))
        )

    def _mean(self):
        # E k = sum_{k=1}^{255} P(at least k), level by level: all at once would take 255 times the memory.
        inverse_scale = tf.exp(-self.log_scale)
        edges = tf.range(1, NUM_LEVELS, dtype=self.dtype) / NUM_LEVELS
        return tf.foldl(
            lambda total, edge: total + tf.sigmoid((self.loc - edge) * inverse_scale),
            edges,
            initializer=tf.zeros(self.batch_shape_tensor(), self.dtype),
            parallel_iterations=1,
        )

    def _mode(self):
        # Among bins without a tail, the one nearest to loc holds most; a tail may hold more.
        inner = tf.clip_by_value(tf.floor(NUM_LEVELS * self.loc), 1.0, NUM_LEVELS - 2.0) + tf.zeros_like(self.log_scale)
        candidates = tf.stack([inner, tf.zeros_like(inner), tf.fill(tf.shape(inner), tf.cast(NUM_LEVELS - 1, self.dtype))])
        best = tf.argmax(self._log_prob(candidates), axis=0)
        return tf.gather(tf.constant([0.0, 0.0, NUM_LEVELS - 1.0], self.dtype), best) + tf.where(
            best == 0, inner, tf.zeros_like(inner)
        )
