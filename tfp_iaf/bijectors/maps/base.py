"""The contract of elementwise maps y -> z, given each entry's parameters."""

import abc

__all__ = ["ElementwiseMap"]


class ElementwiseMap(abc.ABC):
    """z_i = f(y_i; parameters_i), increasing in y_i: what a user writes to bring a map of their own.

    A subclass sets `params`, the number P of parameters per entry, and defines `forward` and `inverse`. Parameters of zero
    should give a map near the identity: the networks start there. Register the class with
    `keras.saving.register_keras_serializable()` to save models that hold it, and extend `get_config` if its constructor takes
    arguments.

    Both methods return the value together with log df/dy, the log-derivative of the *forward* direction at y.

    >>> import tensorflow as tf
    >>> class Shift(ElementwiseMap):
    ...     params = 1
    ...     def forward(self, y, parameters):
    ...         return y + parameters[..., 0], tf.zeros_like(y)
    ...     def inverse(self, z, parameters):
    ...         return z - parameters[..., 0], tf.zeros_like(z)
    >>> z, log_derivative = Shift().forward(tf.ones([4]), tf.ones([4, 1]))
    >>> z.numpy()
    array([2., 2., 2., 2.], dtype=float32)
    """

    params = None

    @abc.abstractmethod
    def forward(self, y, parameters):
        """(z, log df/dy at y), both of y's shape `[..., *event]`; `parameters` is `[..., *event, P]`."""

    @abc.abstractmethod
    def inverse(self, z, parameters):
        """(y, log df/dy at y), both of z's shape."""

    def inverse_near(self, z, parameters, start):
        """The y of `inverse`, without a gradient: a map that searches may begin at `start`, a guess of y."""
        del start
        return self.inverse(z, parameters)[0]

    def get_config(self):
        """The constructor's arguments, JSON-able."""
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
