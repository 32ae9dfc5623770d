"""The only room that touches private API of TensorFlow, TensorFlow Probability and Keras."""

from tfp_iaf._compat.variables import tf_variables

__all__ = ["tf_variables"]
