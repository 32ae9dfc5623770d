"""A posterior layer as a distribution that reads no features."""

from __future__ import annotations

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import _compat
from tfp_iaf._arguments import given
from tfp_iaf.bijectors import FlowBijector
from tfp_iaf.posteriors import Posterior

__all__ = ["without_features"]

tfd = tfp.distributions


def without_features(posterior: Posterior) -> tfp.distributions.TransformedDistribution:
    """A trainable distribution q(z) of the base and the flows of a posterior layer, for `fit`.

    ```none
    y ~ N(loc, scale(u)^2);   z = flow_K(... flow_1(y; c); c)      loc, u and c are variables, in place of readers of features
    ```

    With `loc`, `u` and `c`, the weights of the layer's networks are among its `trainable_variables`, unless they are frozen. It
    starts as the layer does: with a standard normal base, and `c` as one feature with the value 1 would give it.

    Args:
        posterior: a layer of `tfp_iaf.posteriors`, or a `Posterior` of your own; the distribution uses its networks, and
            does not build the layers that read features.

    Returns:
        A `tfd.TransformedDistribution` with batch shape [].

    Raises:
        ValueError: for anything else than a posterior layer.

    Source: Rezende and Mohamed 2015, section 6.1.

    >>> from tfp_iaf import posteriors, vi
    >>> q = without_features(posteriors.PlanarFlow(2, num_flows=4))
    >>> target = tfd.MultivariateNormalDiag([1.0, -1.0], [0.5, 2.0])
    >>> result = vi.fit(target, q, num_steps=200, learning_rates=[0.05])
    >>> result.elbo > -0.05  # minus KL(q to target)
    True
    """
    if not isinstance(posterior, Posterior):
        raise ValueError(f"posterior must be a layer of tfp_iaf.posteriors, got {given(posterior)}.")
    dtype = tf.as_dtype(posterior.density_dtype)
    posterior.build_flows()
    loc = tf.Variable(tf.zeros(posterior.event_shape, dtype), name="loc")
    unconstrained = tf.Variable(tf.zeros(posterior.event_shape, dtype), name="unconstrained_scale")
    scale = tfp.util.DeferredTensor(unconstrained, lambda value: posterior.base_scale(tf.convert_to_tensor(loc), value))
    base = tfd.Independent(tfd.Normal(loc, scale), reinterpreted_batch_ndims=len(posterior.event_shape))
    return tfd.TransformedDistribution(base, _Flows(posterior, _first_inputs(posterior, dtype)), name=posterior.name)


def _first_inputs(posterior, dtype):
    """The flows' inputs as a variable, without batch axis; None for flows without inputs."""
    if not posterior.flow_size:
        return None
    initializer = keras.initializers.get(posterior.flow_initializer)
    row = tf.cast(initializer((1, posterior.flow_size)), dtype)[0]
    shape = [*posterior.event_shape[:-1], posterior.flow_size]
    return tf.Variable(tf.broadcast_to(row, shape), name="flow_inputs")


class _Flows(FlowBijector):
    """The chain of a posterior's flows, made anew with each call of inputs that are a variable."""

    def __init__(self, posterior, inputs, name="flows"):
        parameters = dict(locals())
        self._posterior, self._inputs = posterior, inputs
        readers = {id(weight) for layer in posterior.readers for weight in layer.weights}
        trained = [weight for weight in posterior.trainable_weights if id(weight) not in readers]
        # A tf.Module finds no Keras layers; it finds the TF variables below them.
        self._trained = _compat.tf_variables(trained)
        super().__init__(
            forward_min_event_ndims=len(posterior.event_shape),
            dtype=tf.as_dtype(posterior.density_dtype),
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    @property
    def keras_weights(self):
        return self._posterior.weights

    def forward_and_log_det(self, y):
        total = tf.zeros([], self.dtype)
        for flow in self._flows():
            y, log_det = flow.forward_and_log_det(y)
            total += log_det
        return y, total

    def inverse_and_log_det(self, z):
        total = tf.zeros([], self.dtype)
        for flow in reversed(self._flows()):
            z, log_det = flow.inverse_and_log_det(z)
            total += log_det
        return z, total

    def forward_and_score(self, y, score):
        total = tf.zeros([], self.dtype)
        for flow in self._flows():
            y, log_det, score = flow.forward_and_score(y, score)
            total += log_det
        return y, total, score

    def _flows(self):
        return self._posterior.flows(None if self._inputs is None else tf.convert_to_tensor(self._inputs))
