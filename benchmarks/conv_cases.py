"""The cases of the benchmark of convolutional flows. Standard library only, as in `benchmarks.flow_cases`."""

import dataclasses

__all__ = ["CASES", "ConvCase"]


@dataclasses.dataclass(frozen=True)
class ConvCase:
    """A chain of affine autoregressive flows over images, masked 3 x 3 convolutions with ELU, and a context of feature maps."""

    event_shape: tuple
    context_channels: int
    filters: tuple
    num_flows: int
    batch_size: int
    weight_norm: bool = False


CASES = {
    "conv": ConvCase((8, 8, 16), 64, (64, 64), 2, 32),
    "conv weight norm": ConvCase((8, 8, 16), 64, (64, 64), 2, 32, weight_norm=True),
    "conv batch 1": ConvCase((8, 8, 16), 64, (64, 64), 2, 1),
}
