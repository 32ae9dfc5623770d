"""The named cases of the flow benchmark. Standard library only: workers in other environments read them too."""

import dataclasses

__all__ = ["CASES", "GROWTH", "QUANTITIES", "SKIPPED", "Case"]

# What is timed: a sample with its log q; the same with the gradient of a loss with respect to all weights and the
# context; log q of a given z.
QUANTITIES = ("forward", "training step", "inverse")


@dataclasses.dataclass(frozen=True)
class Case:
    """A chain of `num_flows` affine autoregressive flows, ReLU networks, a context for each row of the batch."""

    event_size: int
    context_size: int
    hidden_units: tuple
    num_flows: int
    batch_size: int


_BASE = Case(64, 64, (512, 512), 2, 64)
CASES = {
    "D64": Case(64, 64, (512, 512), 4, 256),
    "D256": Case(256, 64, (1024, 1024), 2, 256),
    # The networks of the paper's MNIST experiments.
    "paper": Case(32, 64, (1920, 1920), 8, 128),
    "D64 batch 1": Case(64, 64, (512, 512), 4, 1),
    **{f"growth D{size}": Case(size, 64, (1024, 1024), 1, 64) for size in (16, 64, 256, 1024)},
}
# One thing grows, the rest is as in the base.
GROWTH = {
    **{f"growth batch {size}": dataclasses.replace(_BASE, batch_size=size) for size in (1, 16, 256, 4096)},
    **{f"growth layers {size}": dataclasses.replace(_BASE, hidden_units=(512,) * size) for size in (1, 2, 4, 8)},
    **{f"growth flows {size}": dataclasses.replace(_BASE, num_flows=size) for size in (1, 4, 8)},
}
# Long chains of operations, one at a time, would take minutes per call.
SKIPPED = {"growth": ("TFP eager", "tfp_iaf eager")}
