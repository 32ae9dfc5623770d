"""The implementations that the flow benchmark compares, one module per package.

A module has `CONTENDERS`, a dict from a name to a function of a `Case` that returns a `Flow`, and `PACKAGES`, the names of the
distributions whose versions are recorded. `MODULES` says in which environment a module runs.
"""

import dataclasses
from collections.abc import Callable

__all__ = ["MODULES", "Flow"]

# Module -> the environment it needs: "own" is the package's, "peers" has PyTorch and JAX. `before_after` has its own.
MODULES = {"ours": "own", "tfp_maf": "own", "torch_flows": "peers", "flowjax_maf": "peers"}


@dataclasses.dataclass
class Flow:
    """What the benchmark calls: functions without arguments that return when the work is done.

    Args:
        quantities: the function of each of `flow_cases.QUANTITIES` that the contender has.
        round_trip: returns (log q from sampling, log q of that sample from inverting), as NumPy arrays, to check that the
            contender computes what it is timed for.
        parameters: the number of trainable scalars.
    """

    quantities: dict
    round_trip: Callable
    parameters: int
