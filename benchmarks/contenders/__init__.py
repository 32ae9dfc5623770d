"""The implementations that the benchmarks of flows, of convolutional flows and of VAEs compare, one module per package.

A module has `CONTENDERS`, a dict from a name to a function of a `Case`, `ConvCase` or `VaeCase` that returns a `Flow`, and
`PACKAGES`, the names of the distributions whose versions are recorded. `MODULES` says in which environment a module runs.
"""

import dataclasses
from collections.abc import Callable

__all__ = ["CONV_MODULES", "MODULES", "VAE_MODULES", "Flow"]

# Module -> the environment it needs: "own" is the package's, "peers" has PyTorch and JAX. `before_after` has its own.
MODULES = {"ours": "own", "tfp_maf": "own", "torch_flows": "peers", "flowjax_maf": "peers"}
# Those of `benchmarks.conv_flows`.
CONV_MODULES = {"conv_ours": "own", "conv_by_hand": "own"}
# Those of `benchmarks.vaes`.
VAE_MODULES = {"vae_ours": "own", "vae_tfp": "own", "vae_pyro": "peers"}


@dataclasses.dataclass
class Flow:
    """What the benchmark calls: functions without arguments that return when the work is done.

    Args:
        quantities: the function of each of `flow_cases.QUANTITIES`, or `vae_cases.QUANTITIES`, that the contender has.
        round_trip: returns (log q from sampling, log q of that sample from inverting), as NumPy arrays, to check that the
            contender computes what it is timed for.
        parameters: the number of trainable scalars.
    """

    quantities: dict
    round_trip: Callable
    parameters: int
