"""Every posterior, as the tests of the contract make it: the one list that drives them."""

import dataclasses
from collections.abc import Callable

import numpy as np

from tests import properties
from tfp_iaf.bijectors import maps
from tfp_iaf.posteriors import (
    IAF,
    NICE,
    ConvIAF,
    DiagonalGaussian,
    FullCovariance,
    PlanarFlow,
    RadialFlow,
    RecurrentIAF,
    SylvesterFlow,
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A posterior over latents of this shape, of features with this many numbers (per place).

    A variant differs from another case in what its flows are made of, and not in how the posterior computes.
    """

    construct: Callable
    latent_shape: tuple = (4,)
    features_size: int = 7
    is_variant: bool = False

    def make(self, **kwargs):
        return self.construct(**{"seed": 1, **kwargs})

    def trained(self, scale=0.5, **kwargs):
        """One with weights away from their start."""
        posterior = self.make(**kwargs)
        posterior.build((None, *self.places, self.features_size))
        properties.randomize(posterior, scale)
        return posterior

    @property
    def places(self):
        return self.latent_shape[:-1]

    def features(self, rows=6):
        return np.random.default_rng(0).normal(size=[rows, *self.places, self.features_size]).astype(np.float32)


def case(kind, latent_shape=(4,), is_variant=False, **arguments):
    name = "latent_shape" if kind in (DiagonalGaussian, ConvIAF) else "latent_size"
    latent = latent_shape[0] if name == "latent_size" else latent_shape
    return Case(lambda **kwargs: kind(**{name: latent, **arguments, **kwargs}), latent_shape, is_variant=is_variant)


CASES = {
    "diagonal": case(DiagonalGaussian),
    "full covariance": case(FullCovariance),
    "IAF": case(IAF, hidden_units=(12, 12)),
    "IAF, gated, random orders": case(
        IAF, num_flows=3, hidden_units=(12,), bijector_fn="gated", input_order="random", is_variant=True
    ),
    "IAF, location, no context": case(
        IAF, hidden_units=(12,), bijector_fn="location", residual=True, context_size=0, is_variant=True
    ),
    "IAF, spline": case(IAF, hidden_units=(12,), bijector_fn=maps.Spline(num_bins=4, half_range=3.0)),
    "IAF, monotone": case(IAF, hidden_units=(12,), bijector_fn=maps.Monotone(4), is_variant=True),
    "recurrent IAF": case(RecurrentIAF, units=8),
    "planar": case(PlanarFlow, num_flows=3),
    "radial": case(RadialFlow, num_flows=3),
    "NICE, odd": case(NICE, (5,), num_flows=3, hidden_units=(12,)),
    "NICE, no context": case(NICE, hidden_units=(), num_flows=2, context_size=0, is_variant=True),
    "Sylvester, odd": case(SylvesterFlow, (5,), num_flows=1, num_columns=3),
    "Sylvester, Householder": case(SylvesterFlow, num_flows=2, variant="householder", num_reflections=3, is_variant=True),
    "Sylvester, triangular": case(SylvesterFlow, num_flows=2, variant="triangular", is_variant=True),
    "diagonal, maps": case(DiagonalGaussian, (3, 2, 2)),
    "conv IAF": case(ConvIAF, (3, 4, 2), filters=(6,)),
    "conv IAF, linear": case(ConvIAF, (3, 2, 2), filters=(), bijector_fn="location", num_flows=1, is_variant=True),
    "diagonal, series": case(DiagonalGaussian, (5, 2), is_variant=True),
    "conv IAF, series": case(ConvIAF, (5, 2), filters=(6, 6), residual=True, bijector_fn="gated"),
}
