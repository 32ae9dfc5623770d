"""What every flow is: a TFP bijector whose work is done by two pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_iaf import _compat
from tfp_iaf._arguments import flag, given
from tfp_iaf._inherited import drop_outdated
from tfp_iaf._tensors import check_numbers

__all__ = ["FlowBijector"]


class FlowBijector(_compat.FreshBijector):
    """A `tfb.Bijector` defined by `forward_and_log_det` and, where there is one, `inverse_and_log_det`.

    ```none
    forward_and_log_det(y) = z, log|det dz/dy|
    inverse_and_log_det(z) = y, log|det dz/dy| at that y        (of the forward direction, too)
    ```

    Posteriors call these two: they leave nothing behind in TFP. TFP's methods (`forward`, `inverse`,
    `forward_log_det_jacobian`, ...) work as ever, and evaluate nothing twice: the log_det that came with a value answers for
    it. Values after an update of the bijector's variables are fresh.

    How to write one: pass `tfb.Bijector`'s arguments to `super().__init__` (`forward_min_event_ndims`, `dtype`, `parameters`,
    `name`, ...), define `forward_and_log_det`, and return `tfp.util.ParameterProperties` of arguments with a batch shape from
    the class method `_parameter_properties`. Without `inverse_and_log_det` the methods `inverse` and `log_prob` of a given z
    raise NotImplementedError. A flow whose log_det is a sum over the event's entries may define `forward_and_log_derivatives`
    as well: then a KL divergence splits by entry. One that can find the score faster than through its inverse may define
    `forward_and_score`. A subclass that writes `forward_and_log_det` anew inherits none of these three, which are those of
    another map. Instances are distinct, whatever their parameters.

    TFP finds the `tf.Variable`s of a bijector in its attributes, and does not look into Keras layers: one that evaluates a
    Keras layer keeps `tuple(weight.value for weight in layer.trainable_weights)` as an attribute beside the built layer.

    >>> import tensorflow_probability as tfp
    >>> class Double(FlowBijector):
    ...     def __init__(self, name="double"):
    ...         super().__init__(forward_min_event_ndims=1, parameters=dict(locals()), name=name)
    ...     @classmethod
    ...     def _parameter_properties(cls, dtype):
    ...         return {}
    ...     def forward_and_log_det(self, y):
    ...         return 2.0 * y, tf.fill(tf.shape(y)[:-1], y.shape[-1] * tf.math.log(2.0))
    >>> q = tfp.distributions.TransformedDistribution(tfp.distributions.MultivariateNormalDiag(tf.zeros([3])), Double())
    >>> z, log_q = q.experimental_sample_and_log_prob(5)
    >>> z.shape, log_q.shape
    (TensorShape([5, 3]), TensorShape([5]))
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # In this order: what rests on a method that is dropped is dropped, too.
        drop_outdated(cls, FlowBijector, "forward_and_log_derivatives", "forward_and_log_det")
        methods = "inverse_and_log_det", "forward_and_log_derivatives", "forward_and_score"
        drop_outdated(cls, FlowBijector, "forward_and_log_det", *methods)

    def forward_and_log_det(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(z, log|det dz/dy|) at y; of a flow that defines `forward_and_log_derivatives` alone, their sum."""
        if type(self).forward_and_log_derivatives is FlowBijector.forward_and_log_derivatives:
            raise NotImplementedError(f"{type(self).__name__} has no forward_and_log_det: define it.")
        z, log_derivatives = self.forward_and_log_derivatives(y)
        return z, tf.reduce_sum(log_derivatives, axis=range(-self.forward_min_event_ndims, 0))

    def inverse_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(y, log|det dz/dy| of the forward direction, at y)."""
        raise NotImplementedError(f"{self.name} has no inverse: its density is known at its own samples only.")

    def forward_and_log_derivatives(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(z, log dz_i/dy_i of every entry), whose sum over the event is the log_det."""
        raise NotImplementedError(f"The log_det of {self.name} is no sum over the event's entries.")

    def forward_and_score(self, y: tf.Tensor, score: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """(z, log|det dz/dy|, the score at z): how the gradient of a log-density with respect to its argument moves with y.

        ```none
        log q(z) = log q(y) - log|det J|,  J = dz/dy
        d log q(z) / dz = J^-T (d log q(y) / dy - d log|det J| / dy)
        ```

        Args:
            y: `[..., *event]`.
            score: d log q(y) / dy, of the same shape.

        Returns:
            z and log_det as from `forward_and_log_det`, and the score at z, of z's shape, whose own gradient is not defined.

        Source: Vaitl et al. 2024, "Fast and unified path gradient estimators for normalizing flows", section 3.
        """
        z, log_det = self.forward_and_log_det(y)
        point = tf.stop_gradient(z)
        with tf.GradientTape() as tape:
            tape.watch(point)
            back, log_det_at_z = self.inverse_and_log_det(point)
        upstream = [tf.stop_gradient(score), -tf.ones_like(log_det_at_z)]
        return z, log_det, tape.gradient([back, log_det_at_z], point, upstream, unconnected_gradients="zero")

    @property
    def keras_weights(self) -> Sequence[keras.Variable]:
        """The weights of the Keras layers that the flow evaluates, those that stay as they are, too."""
        layers = (value for value in vars(self).values() if isinstance(value, keras.layers.Layer))
        return [weight for layer in layers for weight in layer.weights]

    def _look_at_weights(self):
        return _compat.fingerprint([*self.variables, *_compat.tf_variables(self.keras_weights)]).numpy().tobytes()

    @staticmethod
    def _scope(name, validate_args):
        """The scope of a constructor, whose arguments of every `tfb.Bijector` are checked."""
        flag("validate_args", validate_args)
        if not isinstance(name, str):
            raise ValueError(f"name must be a text, got {given(name)}.")
        return tf.name_scope(name)

    def forward(self, x: tf.Tensor, name: str = "forward", **kwargs: Any) -> tf.Tensor:
        return super().forward(self._with_right_dtype(x), name=name, **kwargs)

    def inverse(self, y: tf.Tensor, name: str = "inverse", **kwargs: Any) -> tf.Tensor:
        return super().inverse(self._with_right_dtype(y), name=name, **kwargs)

    def forward_log_det_jacobian(
        self, x: tf.Tensor, event_ndims: int | None = None, name: str = "forward_log_det_jacobian", **kwargs: Any
    ) -> tf.Tensor:
        return super().forward_log_det_jacobian(self._with_right_dtype(x), event_ndims=event_ndims, name=name, **kwargs)

    def inverse_log_det_jacobian(
        self, y: tf.Tensor, event_ndims: int | None = None, name: str = "inverse_log_det_jacobian", **kwargs: Any
    ) -> tf.Tensor:
        return super().inverse_log_det_jacobian(self._with_right_dtype(y), event_ndims=event_ndims, name=name, **kwargs)

    def _with_right_dtype(self, value):
        """The value, or a ValueError in place of TFP's, which prints the whole tensor. NumPy arrays are converted later."""
        check_numbers(f"{self.name}'s event", value)
        if self.dtype is not None and tf.is_tensor(value) and value.dtype != self.dtype:
            raise ValueError(
                f"{self.name} has dtype {tf.as_dtype(self.dtype).name}, got a tensor of dtype {value.dtype.name}: cast it, or "
                f"build the bijector's parameters in {value.dtype.name}."
            )
        return value

    def _forward(self, y):
        z, log_det = self.forward_and_log_det(y)
        self._remember_log_det("forward", y, log_det)
        return z

    def _inverse(self, z):
        y, log_det = self.inverse_and_log_det(z)
        self._remember_log_det("inverse", z, log_det)
        return y

    def _forward_log_det_jacobian(self, y):
        # TFP calls this only where `forward` has stored no log_det.
        return self.forward_and_log_det(y)[1]

    def _inverse_log_det_jacobian(self, z):
        return -self.inverse_and_log_det(z)[1]
