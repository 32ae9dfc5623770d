"""The inverse autoregressive flow as a TFP bijector."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf.bijectors.inverses import incremental
from tfp_iaf.bijectors.inverses import sequential
from tfp_iaf.bijectors.inverses import recurrent
from tfp_iaf.bijectors.inverses import fixed_point
from tfp_iaf.bijectors.inverses import base as equation
from tfp_iaf.bijectors import maps as elementwise
from tfp_iaf._compat.fingerprint import fingerprint
from tfp_iaf.bijectors._flow_spec import FlowSpec
from tfp_iaf.bijectors._captured import tensor_or_reference
from tfp_iaf.bijectors.base import Step
from tfp_iaf.layers import density_dtype
from tfp_iaf.networks import AutoregressiveNetwork, RecurrentAutoregressiveNetwork

__all__ = ["InverseAutoregressiveFlow"]

_INVERSES = ("auto", "incremental", "fixed_point", "sequential")


class InverseAutoregressiveFlow(Step, tf.__internal__.CompositeTensor):
    """z_i = f(y_i; params_i(y_<i, context)): one autoregressive step, parallel in the direction noise -> latent.

    ```none
    forward (1 network evaluation):        parameters = network(y, context);  z = f(y; parameters)
    inverse (as one to three evaluations): the y with f(y; network(y, context)) = z
    log|det dz/dy|                         = sum_i log f'(y_i; parameters_i)
    "affine":    z = (y - shift) exp(-log_scale)         log|det| = -sum log_scale
    "gated":     z = s y + (1 - s) m, s = sigmoid(gate)  log|det| = sum log s
    "location":  z = y - shift                           log|det| = 0
    "spline":    z = rational-quadratic spline of y      (`elementwise.Spline`)
    ```

    Log-scales and gates are bounded, see `bijectors.scales`.

    The Jacobian is triangular in the network's input order. A sample and its log-density need one network evaluation: the
    log_det found by `forward` is handed to `forward_log_det_jacobian` through the bijector cache. The bijector owns no
    weights: it lists the network's as `trainable_variables`.

    Args:
        network: a `networks.AutoregressiveNetwork` or `networks.RecurrentAutoregressiveNetwork`, or a Keras layer with their
            attributes; built here if it is not yet.
        context: `[..., C]`, captured; its leading dimensions become the bijector's batch shape. A variable is read with each
            call. None for a network without context.
        bijector_fn: "affine", "gated", "location", "spline" (of K bins if the network has 3 K - 1 params), or a callable from
            parameters `[..., D, P]` to an increasing elementwise `tfb.Bijector`.
        inverse: "incremental" computes every unit once, for an `AutoregressiveNetwork` or a `RecurrentAutoregressiveNetwork`;
            "fixed_point" iterates, for any network, until settled, after at most D evaluations; "sequential" takes D, the
            reference. "auto" is "incremental" inside a `tf.function` (recurrent: always), and "fixed_point" in eager mode and
            for networks that compute in bfloat16 or float16. All are exact. Gradients of the first two are implicit, of first
            order; of any order for a recurrent network's "incremental".
        validate_args: as in `tfb.Bijector`.
        name: as in `tfb.Bijector`.

    Shapes: y and z `[..., D]`; log_det `[...]`. The dtype is the network's variable dtype, but at least float32.

    Raises:
        ValueError: for a wrong event size, a missing or unexpected context, a wrong number of parameters, a Keras 2
            network, an unknown `bijector_fn` or `inverse`, a dtype other than the network's.

    Source: Kingma et al. 2016, "Improving variational inference with inverse autoregressive flow", first version,
    equations 9-10; final version, equations 13-14 and algorithm 1.

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

    # The number of axes of an event.
    event_ndims = 1

    def __init__(
        self,
        network,
        context=None,
        bijector_fn="affine",
        inverse="auto",
        validate_args=False,
        name="inverse_autoregressive_flow",
    ):
        parameters = dict(locals())
        with tf.name_scope(name) as name:
            _check_network(network, self.event_ndims)
            self._map = elementwise.get(bijector_fn, network.params)
            _check_inverse(inverse, network)
            if not network.built:
                network.build((None, *network.event_shape))
            dtype = tf.as_dtype(density_dtype(network))
            self._network = network
            self._context = None if context is None else tensor_or_reference(context, dtype, network.name)
            network.check_inputs(np.zeros(network.event_shape, dtype.as_numpy_dtype), self._context)
            self._inverse_method = inverse
            # A tf.Module finds neither Keras layers nor Keras variables; it finds the TF variables below them.
            self._tf_variables = tuple(variable._value for variable in network.weights)
            self._reads_passed_variables = False
            super().__init__(
                forward_min_event_ndims=self.event_ndims,
                dtype=dtype,
                validate_args=validate_args,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(cls, dtype):
        return {"context": tfp.util.ParameterProperties(event_ndims=cls.event_ndims)}

    @property
    def _type_spec(self):
        names = ("bijector_fn", "inverse", "validate_args", "name")
        return FlowSpec.of(self, {name: self.parameters[name] for name in names})

    @property
    def network(self):
        return self._network

    @property
    def context(self):
        return self._context

    @property
    def tf_variables(self):
        """The `tf.Variable`s of the network."""
        return self._tf_variables

    def _get_parameterization(self):
        # What TFP's bijector cache distinguishes flows by. Instances are distinct, and so is one before and after an update
        # of its weights: a chain that holds it then computes afresh as well.
        weights = fingerprint(self._tf_variables) if tf.executing_eagerly() else None
        return {"instance": id(self), "weights": weights}

    def read_from(self, tf_variables):
        """Evaluates the network with these variables: inside a `tf.function`, those that came in with the flow."""
        self._tf_variables = tuple(tf_variables)
        self._reads_passed_variables = True

    def forward_and_log_det(self, y):
        z, log_derivatives = self.forward_and_log_derivatives(y)
        return z, self._sum_over_event(log_derivatives)

    def forward_and_log_derivatives(self, y):
        """(z, log dz_i/dy_i of every entry, whose sum is the log_det)."""
        y = self._checked(y)
        return self._map.forward(y, self._parameters_at(y))

    def inverse_and_log_det(self, z):
        z = self._checked(z)
        context = self._context_tensor()
        if context is not None:
            # The loop keeps its shapes, so z takes the batch shape of the context beforehand.
            axes = -self.event_ndims
            batch = tf.broadcast_dynamic_shape(tf.shape(z)[:axes], tf.shape(context)[:axes])
            static = tf.broadcast_static_shape(z.shape[:axes], context.shape[:axes])
            z = tf.broadcast_to(z, tf.concat([batch, tf.shape(z)[axes:]], axis=0))
            z = tf.ensure_shape(z, static + z.shape[axes:])

        if self._inverse_method == "sequential":
            y = sequential.iterate(lambda y: self._map.inverse(z, self._parameters_at(y))[0], z, self._network.degrees)
            _, log_derivative = self._map.inverse(z, self._parameters_at(y))
            return y, self._sum_over_event(log_derivative)
        values = [tf.convert_to_tensor(variable) for variable in self._tf_variables]
        is_recurrent = isinstance(self._network, RecurrentAutoregressiveNetwork)
        is_incremental = self._inverse_method == "incremental"
        if self._inverse_method == "auto":
            # Eager mode pays by the operation, and the incremental inverse of a masked network has many small ones.
            is_incremental = _has_incremental_inverse(self._network) and (is_recurrent or not tf.executing_eagerly())
        if is_incremental and is_recurrent:
            return recurrent.solution(self._network, self._map, z, context, values)
        method = incremental if is_incremental else fixed_point
        return equation.solution(method, self._network, self._map, z, context, values)

    def _sum_over_event(self, values):
        return tf.reduce_sum(values, axis=range(-self.event_ndims, 0))

    def _context_tensor(self):
        return None if self._context is None else tf.convert_to_tensor(self._context)

    def _parameters_at(self, y):
        context = self._context_tensor()
        if not self._reads_passed_variables:
            return tf.cast(self._network(y, context=context), y.dtype)
        values = [tf.convert_to_tensor(variable) for variable in self._tf_variables]
        with keras.StatelessScope(state_mapping=zip(self._network.weights, values)):
            return tf.cast(self._network(y, context=context), y.dtype)

    def _checked(self, y):
        y = tf.convert_to_tensor(self._with_right_dtype(y), self.dtype)
        self._network.check_inputs(y, self._context)
        return y


def _check_network(network, event_ndims):
    if isinstance(network, keras.layers.Layer) and hasattr(network, "degrees"):
        if len(network.event_shape) != event_ndims:
            raise ValueError(
                f"This flow acts on events with {event_ndims} axes, the network {network.name} on events of shape "
                f"{network.event_shape}: vectors take an InverseAutoregressiveFlow, images a ConvInverseAutoregressiveFlow."
            )
        return
    if any("tf_keras" in base.__module__ for base in type(network).__mro__):
        raise ValueError(
            f"{type(network).__name__} is a Keras 2 layer and would not train in a Keras 3 model: use "
            "tfp_iaf.networks.AutoregressiveNetwork, which takes the same arguments."
        )
    expected = {1: "AutoregressiveNetwork", 3: "ConvAutoregressiveNetwork"}[event_ndims]
    raise ValueError(f"network must be a tfp_iaf.networks.{expected}, got {type(network).__name__}.")


def _check_inverse(inverse, network):
    if not isinstance(inverse, str) or inverse not in _INVERSES:
        raise ValueError(f"Unknown inverse {inverse!r}: expected one of {', '.join(_INVERSES)}.")
    if inverse == "incremental" and not _has_incremental_inverse(network):
        raise ValueError(
            "inverse='incremental' needs an AutoregressiveNetwork or a RecurrentAutoregressiveNetwork that computes in float32 "
            f"or float64; this {type(network).__name__} computes in {network.compute_dtype}: use inverse='auto'."
        )


def _has_incremental_inverse(network):
    # It computes the network's units one by one: by the formulas of that network, and rounding as float32 or float64 do.
    is_known = isinstance(network, AutoregressiveNetwork | RecurrentAutoregressiveNetwork)
    return is_known and network.compute_dtype in ("float32", "float64")
