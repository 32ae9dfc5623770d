"""What all autoregressive networks share: their sizes, and that they check what they are called with."""

import keras
import tensorflow as tf

from tfp_iaf._arguments import integer
from tfp_iaf.networks._inputs import check_inputs

__all__ = ["Network"]


class Network(keras.layers.Layer):
    """A Keras layer (y, context) -> parameters `[..., *event_shape, P]`.

    Args:
        params: P.
        event_shape: a tuple.
        context_size: size of the context's last axis, or None. Its axes before that are the event's.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.
    """

    def __init__(self, params, event_shape, context_size, **kwargs):
        super().__init__(**kwargs)
        self.params = integer("params", params)
        self.event_shape = tuple(integer("event_shape", size) for size in event_shape)
        self.context_size = None if context_size is None else integer("context_size", context_size)

    inverses = ("blocks", "fixed_point", "sequential")

    @property
    def tf_variables(self):
        from tfp_iaf import _compat

        return _compat.tf_variables(self)

    @property
    def context_shape(self):
        """The context's trailing axes, or None."""
        return None if self.context_size is None else (*self.event_shape[:-1], self.context_size)

    def __call__(self, y, context=None, **kwargs):
        # Checked here, since Keras buries an error raised in `call` under a report of the call's arguments.
        self.check_inputs(y, context)
        return super().__call__(y, context=context, **kwargs)

    def compute_output_shape(self, y_shape, context_shape=None):
        axes = -len(self.event_shape)
        leading = tf.TensorShape(y_shape[:axes])
        if context_shape is not None:
            leading = tf.broadcast_static_shape(leading, tf.TensorShape(context_shape[:axes]))
        return (*leading, *self.event_shape, self.params)

    def check_inputs(self, y, context):
        """Raises a ValueError unless `y` and `context` fit the network."""
        check_inputs(self, y, context)

    def get_config(self):
        return {**super().get_config(), "params": self.params, "event_shape": list(self.event_shape)}
