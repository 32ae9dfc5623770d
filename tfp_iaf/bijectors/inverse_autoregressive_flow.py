"""The inverse autoregressive flow as a TFP bijector."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import _compat
from tfp_iaf._arguments import given
from tfp_iaf._eager import run_compiled
from tfp_iaf._types import TensorLike
from tfp_iaf.bijectors import inverses, maps
from tfp_iaf.bijectors._captured import captured
from tfp_iaf.bijectors._flow_spec import FlowSpec
from tfp_iaf.bijectors._network_flow import NetworkFlow
from tfp_iaf.bijectors.maps.base import wrong_shapes
from tfp_iaf.networks import Network

__all__ = ["ConvInverseAutoregressiveFlow", "InverseAutoregressiveFlow"]


class InverseAutoregressiveFlow(NetworkFlow):
    """z_i = f(y_i; parameters_i(y_<i, context)): one autoregressive flow, parallel in the direction noise -> latent.

    ```none
    forward (one network evaluation):  parameters = network(y, context);  z = f(y; parameters)
    inverse (see `inverses`):          the y with f(y; network(y, context)) = z
    log|det dz/dy|                     = sum_i log f'(y_i; parameters_i)
    "affine":    z = (y - shift) exp(-log_scale)         log|det| = -sum log_scale
    "gated":     z = s y + (1 - s) m, s = sigmoid(gate)  log|det| = sum log s < 0: it only contracts
    "location":  z = y - shift                           log|det| = 0
    "monotone":  z = d + a y + a sum of sigmoids of y    see `maps.Monotone`
    "spline":    z = rational-quadratic spline of y      the identity outside [-5, 5], see `maps.Spline`
    ```

    Log-scales and gates are bounded, see `tfp_iaf.scales`. An event of one entry (D = 1) gets an affine or gated map that
    does not depend on y: a Gaussian stays a Gaussian. Use "monotone" or "spline" there.

    The Jacobian is triangular in the network's input order. A sample and its log-density need one network evaluation: the
    log_det that `forward` found is what `forward_log_det_jacobian` returns. The bijector owns no weights: it lists the
    network's as `trainable_variables`, without those that are frozen when it is made.

    Args:
        network: a `networks.Network`, which says what an event is: a vector `[D]` (`AutoregressiveNetwork`,
            `RecurrentAutoregressiveNetwork`), a time series `[T, C]` or feature maps `[H, W, C]` (`ConvAutoregressiveNetwork`),
            or an event of any rank with a network of your own. Built here if it is not yet.
        context: `[..., C]`, for time series and feature maps with the event's axes before the last; captured. Its leading
            dimensions become the bijector's batch shape. A variable is read with each call. None for a network without context.
        bijector_fn: the map f: "affine", "gated", "location", "monotone", "spline" (of K bins if the network has 3 K - 1
            params), a `maps.ElementwiseMap`, or a function from parameters `[..., *event, P]` to an increasing elementwise
            `tfb.Bijector`.
        inverse: how the inverse is found, a name or an `inverses.Inverse`; "auto" takes the fastest that the network supports.
            All are exact.
        validate_args, name: as in `tfb.Bijector`.

    Shapes: y and z `[..., *event]`; log_det `[...]`. The dtype is the network's variable dtype, but at least float32.

    Raises:
        ValueError: for a wrong event size, a missing or unexpected context, a wrong number of parameters, a Keras 2
            network, an unknown `bijector_fn` or `inverse`, a dtype other than the network's.

    Source: Kingma et al. 2016, "Improving variational inference with inverse autoregressive flow", first version,
    equations 9-10 and section 4.2; final version, equations 13-14 and algorithm 1.

    >>> from tfp_iaf import networks
    >>> network = networks.AutoregressiveNetwork(params=2, event_shape=4, hidden_units=(16,), context_size=3)
    >>> flow = InverseAutoregressiveFlow(network, context=tf.ones([7, 3]))
    >>> tfd = tfp.distributions
    >>> q = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros([7, 4])), flow)
    >>> q.batch_shape, q.event_shape, len(q.trainable_variables)
    (TensorShape([7]), TensorShape([4]), 5)
    >>> q.log_prob(q.sample(2)).shape
    TensorShape([2, 7])
    """

    def __init__(
        self,
        network: Network,
        context: TensorLike | None = None,
        bijector_fn: maps.MapLike = "affine",
        inverse: str | inverses.Inverse = "auto",
        validate_args: bool = False,
        name: str = "inverse_autoregressive_flow",
    ) -> None:
        parameters = dict(locals())
        # Posteriors make flows with every call, so this is called for its errors alone.
        if not (isinstance(name, str) and isinstance(validate_args, bool)):
            self._scope(name, validate_args)
        with tf.name_scope(name) as name:
            _check_network(network)
            if not network.built:
                network.build((None, *network.event_shape))
            self._network = network
            variables = network.tf_variables
            self._has_frozen = not all(weight.trainable for weight in network.weights)
            if self._has_frozen:
                variables = [variable for weight, variable in zip(network.weights, variables) if weight.trainable]
            self._trained = tuple(variables)
            self._map = maps.get(bijector_fn, network.params)
            # The best inverse is looked for when it is needed.
            self._inverse_method = None if isinstance(inverse, str) and inverse == "auto" else inverses.get(inverse, network)
            dtype = tf.as_dtype(network.density_dtype)
            self._event_ndims = len(network.event_shape)
            is_ready = context is None or (isinstance(context, tf.Tensor) and context.dtype == dtype)
            self._context = context if is_ready else captured(context, dtype, network.name)
            network.check_inputs(np.zeros(network.event_shape, dtype.as_numpy_dtype), self._context)
            super().__init__(
                forward_min_event_ndims=self._event_ndims,
                dtype=dtype,
                validate_args=validate_args,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(cls, dtype):
        # TFP asks with the number of the event's axes, and without.
        def event_ndims(flow, x_event_ndims=None):
            return len(flow.network.event_shape) if x_event_ndims is None else x_event_ndims

        return {"context": tfp.util.ParameterProperties(event_ndims=event_ndims)}

    @property
    def _type_spec(self):
        names = ("bijector_fn", "inverse", "validate_args", "name")
        return FlowSpec.of(self, {name: self.parameters[name] for name in names})

    def forward_and_log_det(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        z, log_derivatives = self._forward_by_entry(y)
        return z, self._sum_over_event(log_derivatives)

    def forward_and_log_derivatives(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._forward_by_entry(y)

    def _forward_by_entry(self, y):
        return self._evaluate(_forward, (self._map,), y)

    def inverse_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._evaluate(_inverse, (self._map, self._inverse_or_best()), z, at_once=False)

    def forward_and_score(self, y: tf.Tensor, score: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        method = self._inverse_or_best()
        if not method.has_adjoint:
            return super().forward_and_score(y, score)
        score = tf.convert_to_tensor(score, self.dtype)
        z, log_derivatives, score = self._evaluate(_forward_and_score, (self._map, method), y, score, at_once=False)
        return z, self._sum_over_event(log_derivatives), score

    def _inverse_or_best(self):
        return self._inverse_method or inverses.get("auto", self._network)

    def _evaluate(self, function, settings, y, *others, at_once=True):
        """`function(network, *settings, y, *others, context, *values)`; compiled in eager calls of a network that allows it."""
        y, context, values = self._inputs(y)
        tensors = y, *others, context, *values
        if not self._network.compiles_eager_calls:
            return function(self._network, *settings, *tensors)
        event_ndims = [self._event_ndims] * (2 + len(others)) + [value.shape.rank for value in values]
        return run_compiled(self._network, function, settings, tensors, event_ndims, at_once)

    def _inputs(self, y):
        """(y with the context's batch shape, the context or None, values in place of the weights, if any), checked."""
        if not (isinstance(y, tf.Tensor) and y.dtype == self.dtype):
            y = tf.convert_to_tensor(self._with_right_dtype(y), self.dtype)
        self._network.check_inputs(y, self._context)
        context = None if self._context is None else tf.convert_to_tensor(self._context)
        if context is not None:
            y = _with_batch_shape_of(context, y, -self._event_ndims)
        return y, context, [] if self._passed is None else self.values()

    def _sum_over_event(self, values):
        return tf.reduce_sum(values, axis=range(-self._event_ndims, 0))


# The name for flows over images; the network says what an event is.
ConvInverseAutoregressiveFlow = InverseAutoregressiveFlow


def _forward(network, elementwise_map, y, context, *values):
    """(z, log-derivatives); with `values`, if there are any, in place of the network's weights."""
    if not values:
        parameters = network(y, context=context)
    else:
        with _compat.with_values(network, values):
            parameters = network(y, context=context)
    z, log_derivatives = elementwise_map.forward(y, tf.cast(parameters, y.dtype))
    if not (y.shape.is_compatible_with(np.shape(z)) and y.shape.is_compatible_with(np.shape(log_derivatives))):
        raise wrong_shapes(elementwise_map, y, z, log_derivatives)
    return z, log_derivatives


def _inverse(network, elementwise_map, method, z, context, *values):
    """(y, log_det); with `values`, if there are any, in place of the network's weights."""
    values = values or _compat.current_values(network.weights)
    return method(inverses.Equation(network, elementwise_map, z, context, values))


def _forward_and_score(network, elementwise_map, method, y, score, context, *values):
    """(z, log-derivatives, the score at z); with `values`, if there are any, in place of the network's weights."""
    equation = inverses.Equation(network, elementwise_map, None, context, values or None)
    return method.forward_and_score(equation, y, tf.broadcast_to(score, tf.shape(y)))


def _with_batch_shape_of(context, y, axes):
    """y, repeated for each context: maps and loops keep the shape of what they get. The event's axes are from `axes` on."""
    static = tf.broadcast_static_shape(y.shape[:axes], context.shape[:axes])
    if static.is_fully_defined() and static == y.shape[:axes]:
        return y
    # A sum, and no `tf.ensure_shape`: the runtimes that exports are converted for know neither that nor a broadcast of shapes.
    of_batch = (..., *([slice(1)] * -axes))
    repeated = y + tf.zeros_like(context[of_batch], dtype=y.dtype)
    repeated.set_shape(static.concatenate(y.shape[axes:]))
    return repeated


def _check_network(network):
    if isinstance(network, Network):
        if network.event_shape is None:
            raise ValueError(
                f"{network.name} does not know its event yet: give it event_shape, or build it, before a flow uses it."
            )
        return
    if any("tf_keras" in base.__module__ for base in type(network).__mro__):
        raise ValueError(
            f"{type(network).__name__} is a Keras 2 layer and would not train in a Keras 3 model: use "
            "tfp_iaf.networks.AutoregressiveNetwork, which takes the same arguments."
        )
    raise ValueError(f"network must be a tfp_iaf.networks.Network, such as AutoregressiveNetwork, got {given(network)}.")
