"""The cases of the VAE benchmark. Standard library only: workers in other environments read them too."""

import dataclasses

__all__ = ["CASES", "NUM_EPOCHS", "QUANTITIES", "VaeCase"]

# What is timed: one optimizer step on a batch; passes over all rows, shuffled anew for each.
QUANTITIES = ("training step", "epochs")
# Passes of the second: the start and the end of a call of `fit` take up to a second, once.
NUM_EPOCHS = 5


@dataclasses.dataclass(frozen=True)
class VaeCase:
    """A Bernoulli VAE of dense ReLU layers, with a diagonal posterior or affine autoregressive flows on it; Adamax."""

    data_size: int
    hidden_units: tuple
    latent_size: int
    num_flows: int
    flow_hidden_units: tuple
    context_size: int
    batch_size: int
    num_rows: int


# The sizes of the published small MLP.
_SMALL_MLP = VaeCase(784, (256, 256), 128, 2, (256, 256), 128, 128, 12_800)
CASES = {"VAE IAF": _SMALL_MLP, "VAE diagonal": dataclasses.replace(_SMALL_MLP, num_flows=0)}
