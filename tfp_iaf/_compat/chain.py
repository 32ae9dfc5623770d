"""The class of every chain of bijectors."""

import tensorflow_probability as tfp

__all__ = ["Chain"]

# `tfb.Chain(...)` makes an object of its private base class when a part is no composite tensor.
Chain = tfp.bijectors.Chain.__mro__[1]
