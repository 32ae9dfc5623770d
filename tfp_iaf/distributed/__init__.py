"""Training on several devices and machines, under any strategy of `tf.distribute`."""

from tfp_iaf.distributed._replicas import is_chief
from tfp_iaf.distributed.training import evaluate, fit, save

__all__ = ["evaluate", "fit", "is_chief", "save"]
