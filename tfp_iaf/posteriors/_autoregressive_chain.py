"""What posteriors made of autoregressive steps share: a network for each step, and reversals in between."""

from tfp_iaf._arguments import integer
from tfp_iaf.bijectors import InverseAutoregressiveFlow, ReverseOrder
from tfp_iaf.bijectors import maps as elementwise
from tfp_iaf.posteriors.base import Posterior

__all__ = ["AutoregressiveChain"]


class AutoregressiveChain(Posterior):
    """q(z|x) of a chain of K inverse autoregressive steps on a diagonal Gaussian sample: formulas in `IAF`.

    A subclass makes `self.networks` in its constructor, by `make_networks`.

    Args:
        latent_size: D.
        num_steps: K, the number of steps.
        context_size: C, read off the features by a dense layer; None for D, 0 for no context.
        bijector_fn: "affine", "gated", "location", "spline" (8 bins).
        seed: integer seed of the noise.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments, shapes and errors: see `Posterior`.
    """

    def __init__(self, latent_size, num_steps, context_size, bijector_fn, seed, **kwargs):
        super().__init__(latent_size, seed=seed, **kwargs)
        self.num_steps = integer("num_steps", num_steps)
        self.context_size = self.latent_size if context_size is None else integer("context_size", context_size, at_least=0)
        self.bijector_fn = bijector_fn

    def make_networks(self, network_type, **kwargs):
        """One network of this type for each step; `kwargs` are the type's own arguments."""
        return [
            network_type(
                params=elementwise.params_of(self.bijector_fn),
                event_shape=self.event_shape,
                context_size=self.context_size or None,
                dtype=self.dtype_policy,
                name=f"step_{k + 1}",
                **kwargs,
            )
            for k in range(self.num_steps)
        ]

    @property
    def flow_size(self):
        return self.context_size

    def steps(self, flow_inputs):
        chain = []
        for network in self.networks:
            if chain:
                chain.append(ReverseOrder())
            chain.append(InverseAutoregressiveFlow(network, context=flow_inputs, bijector_fn=self.bijector_fn))
        return chain

    def build(self, features_shape):
        super().build(features_shape)
        for network in self.networks:
            network.build((None, *self.event_shape))

    def get_config(self):
        return {
            **super().get_config(),
            "num_steps": self.num_steps,
            "context_size": self.context_size,
            "bijector_fn": self.bijector_fn,
        }
