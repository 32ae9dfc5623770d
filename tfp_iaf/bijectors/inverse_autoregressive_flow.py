"""The inverse autoregressive flow as a TFP bijector."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf.bijectors import elementwise, equation, fixed_point, incremental, sequential
from tfp_iaf.bijectors.fingerprint import fingerprint
from tfp_iaf.bijectors.flow_spec import FlowSpec
from tfp_iaf.bijectors.references import tensor_or_reference
from tfp_iaf.bijectors.step import Step
from tfp_iaf.networks import AutoregressiveNetwork, density_dtype

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
        network: a `networks.AutoregressiveNetwork`, or a Keras layer with its attributes; built here if it is not yet.
        context: `[..., C]`, captured; its leading dimensions become the bijector's batch shape. A variable is read with each
            call. None for a network without context.
        bijector_fn: "affine", "gated", "location", "spline" (of K bins if the network has 3 K - 1 params), or a callable from
            parameters `[..., D, P]` to an increasing elementwise `tfb.Bijector`.
        inverse: "incremental" computes every unit once, for an `AutoregressiveNetwork`; "fixed_point" iterates, for any
            network, until settled, after at most D evaluations; "sequential" takes D, the reference. "auto" is
            "incremental" inside a `tf.function`, and "fixed_point" in eager mode and for networks that compute in bfloat16
            or float16. All are exact. Gradients of the first two are implicit, of first order.
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
            _check_network(network)
            self._map = elementwise.get(bijector_fn, network.params)
            _check_inverse(inverse, network)
            if not network.built:
                network.build((None, network.event_size))
            dtype = tf.as_dtype(density_dtype(network))
            self._network = network
            self._context = None if context is None else tensor_or_reference(context, dtype, network.name)
            network.check_inputs(np.zeros([network.event_size], dtype.as_numpy_dtype), self._context)
            self._inverse_method = inverse
            # A tf.Module finds neither Keras layers nor Keras variables; it finds the TF variables below them.
            self._tf_variables = tuple(variable._value for variable in network.variables)
            self._reads_passed_variables = False
            super().__init__(
                forward_min_event_ndims=1,
                dtype=dtype,
                validate_args=validate_args,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(cls, dtype):
        return {"context": tfp.util.ParameterProperties(event_ndims=1)}

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
        y = self._checked(y)
        z, log_derivative = self._map.forward(y, self._parameters_at(y))
        return z, tf.reduce_sum(log_derivative, axis=-1)

    def inverse_and_log_det(self, z):
        z = self._checked(z)
        context = self._context_tensor()
        if context is not None:
            # The loop keeps its shapes, so z takes the batch shape of the context beforehand.
            batch = tf.broadcast_dynamic_shape(tf.shape(z)[:-1], tf.shape(context)[:-1])
            static = tf.broadcast_static_shape(z.shape[:-1], context.shape[:-1])
            z = tf.broadcast_to(z, tf.concat([batch, tf.shape(z)[-1:]], axis=0))
            z = tf.ensure_shape(z, static + z.shape[-1:])

        if self._inverse_method == "sequential":
            y = sequential.iterate(lambda y: self._map.inverse(z, self._parameters_at(y))[0], z, self._network.degrees)
            _, log_derivative = self._map.inverse(z, self._parameters_at(y))
            return y, tf.reduce_sum(log_derivative, axis=-1)
        is_incremental = self._inverse_method == "incremental"
        if self._inverse_method == "auto":
            # Eager mode pays by the operation, and the incremental inverse has many small ones.
            is_incremental = _has_incremental_inverse(self._network) and not tf.executing_eagerly()
        method = incremental if is_incremental else fixed_point
        values = [tf.convert_to_tensor(variable) for variable in self._tf_variables]
        return equation.solution(method, self._network, self._map, z, context, values)

    def _context_tensor(self):
        return None if self._context is None else tf.convert_to_tensor(self._context)

    def _parameters_at(self, y):
        context = self._context_tensor()
        if not self._reads_passed_variables:
            return tf.cast(self._network(y, context=context), y.dtype)
        values = [tf.convert_to_tensor(variable) for variable in self._tf_variables]
        with keras.StatelessScope(state_mapping=zip(self._network.variables, values)):
            return tf.cast(self._network(y, context=context), y.dtype)

    def _checked(self, y):
        y = tf.convert_to_tensor(self._with_right_dtype(y), self.dtype)
        self._network.check_inputs(y, self._context)
        return y


def _check_network(network):
    if isinstance(network, keras.layers.Layer) and hasattr(network, "degrees"):
        return
    if any("tf_keras" in base.__module__ for base in type(network).__mro__):
        raise ValueError(
            f"{type(network).__name__} is a Keras 2 layer and would not train in a Keras 3 model: use "
            "tfp_iaf.networks.AutoregressiveNetwork, which takes the same arguments."
        )
    raise ValueError(f"network must be a tfp_iaf.networks.AutoregressiveNetwork, got {type(network).__name__}.")


def _check_inverse(inverse, network):
    if not isinstance(inverse, str) or inverse not in _INVERSES:
        raise ValueError(f"Unknown inverse {inverse!r}: expected one of {', '.join(_INVERSES)}.")
    if inverse == "incremental" and not _has_incremental_inverse(network):
        raise ValueError(
            f"inverse='incremental' needs an AutoregressiveNetwork that computes in float32 or float64, got a "
            f"{type(network).__name__} that computes in {network.compute_dtype}; use inverse='auto'."
        )


def _has_incremental_inverse(network):
    # It computes the network's units one by one: by the formulas of that network, and rounding as float32 or float64 do.
    return isinstance(network, AutoregressiveNetwork) and network.compute_dtype in ("float32", "float64")
