"""What every transformation of a posterior's chain is: a TFP bijector whose work is done by two pure functions."""

import abc

import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["Step"]


class Step(tfp.bijectors.Bijector):
    """A `tfb.Bijector` defined by `forward_and_log_det` and `inverse_and_log_det`.

    Both return the value together with log|det dz/dy|. Keras layers call them directly: they bypass TFP's bijector cache,
    which keeps every traced graph alive. TFP calls `forward`, `inverse` and their log-determinants as ever; those store
    the log_det that came with the value where TFP looks for it, so that nothing is evaluated twice.
    """

    @abc.abstractmethod
    def forward_and_log_det(self, y):
        """(z, log|det dz/dy|) at y."""

    @abc.abstractmethod
    def inverse_and_log_det(self, z):
        """(y, log|det dz/dy|), the latter of the forward direction, at y."""

    def forward(self, x, name="forward", **kwargs):
        return super().forward(self._with_right_dtype(x), name=name, **kwargs)

    def inverse(self, y, name="inverse", **kwargs):
        return super().inverse(self._with_right_dtype(y), name=name, **kwargs)

    def forward_log_det_jacobian(self, x, event_ndims=None, name="forward_log_det_jacobian", **kwargs):
        return super().forward_log_det_jacobian(self._with_right_dtype(x), event_ndims=event_ndims, name=name, **kwargs)

    def inverse_log_det_jacobian(self, y, event_ndims=None, name="inverse_log_det_jacobian", **kwargs):
        return super().inverse_log_det_jacobian(self._with_right_dtype(y), event_ndims=event_ndims, name=name, **kwargs)

    def _with_right_dtype(self, value):
        """The value, or a ValueError in place of TFP's, which prints the whole tensor. NumPy arrays are converted later."""
        if self.dtype is not None and tf.is_tensor(value) and value.dtype != self.dtype:
            raise ValueError(
                f"{self.name} has dtype {tf.as_dtype(self.dtype).name}, got a tensor of dtype {value.dtype.name}: cast it, or "
                f"build the bijector's parameters in {value.dtype.name}."
            )
        return value

    def _forward(self, y):
        z, log_det = self.forward_and_log_det(y)
        _remember(self._cache.forward_attributes(y), y, log_det)
        return z

    def _inverse(self, z):
        y, log_det = self.inverse_and_log_det(z)
        _remember(self._cache.inverse_attributes(z), z, log_det)
        return y

    def _forward_log_det_jacobian(self, y):
        # TFP asks only where `forward` has left nothing.
        return self.forward_and_log_det(y)[1]

    def _inverse_log_det_jacobian(self, z):
        return -self.inverse_and_log_det(z)[1]


def _remember(attributes, x, log_det):
    # A tensor of a tf.cond's or a loop's body is of no use outside.
    if getattr(x, "graph", None) is getattr(log_det, "graph", None):
        attributes["ildj"] = -log_det
