"""A VAE written by hand in PyTorch with Pyro's flows, in a loop of its own."""

import itertools

import numpy as np
import torch
from pyro.distributions.transforms import ConditionalAffineAutoregressive
from pyro.nn import ConditionalAutoRegressiveNN
from torch import nn

from benchmarks.contenders import Flow
from benchmarks.contenders.torch_flows import DEVICE
from benchmarks.vae_cases import NUM_EPOCHS

PACKAGES = ("torch", "pyro-ppl")

# The others check no values either.
torch.distributions.Distribution.set_default_validate_args(False)


def dense_layers(sizes):
    return [layer for pair in itertools.pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]


def make(case) -> Flow:
    torch.manual_seed(0)
    width = case.hidden_units[-1]
    encoder = nn.Sequential(*dense_layers((case.data_size, *case.hidden_units)))
    statistics = nn.Linear(width, 2 * case.latent_size)
    context_layer = nn.Linear(width, case.context_size) if case.num_flows else None
    decoder = nn.Sequential(*dense_layers((case.latent_size, *case.hidden_units)), nn.Linear(width, case.data_size))
    flows = nn.ModuleList(
        ConditionalAffineAutoregressive(
            ConditionalAutoRegressiveNN(case.latent_size, case.context_size, list(case.flow_hidden_units))
        )
        for _ in range(case.num_flows)
    )
    parts = nn.ModuleList([encoder, statistics, decoder, *([context_layer] if context_layer else []), flows]).to(DEVICE)

    def posterior(x):
        """(the base, the context)."""
        features = encoder(x)
        loc, scale = statistics(features).chunk(2, dim=-1)
        return torch.distributions.Normal(loc, nn.functional.softplus(scale)), context_layer(
            features
        ) if context_layer else None

    def draw(base, context):
        y = base.rsample()
        log_q = base.log_prob(y).sum(-1)
        for flow in flows:
            conditioned, y = flow.condition(context), y.flip(-1)
            z = conditioned(y)
            y, log_q = z, log_q - conditioned.log_abs_det_jacobian(y, z)
        return y, log_q

    def log_prob(base, context, z):
        log_q = 0.0
        for flow in reversed(flows):
            conditioned = flow.condition(context)
            y = conditioned.inv(z)
            z, log_q = y.flip(-1), log_q - conditioned.log_abs_det_jacobian(y, z)
        return log_q + base.log_prob(z).sum(-1)

    optimizer = torch.optim.Adamax(parts.parameters(), lr=2e-3)
    normal = torch.distributions.Normal(torch.zeros([], device=DEVICE), 1.0)

    def train_step(x):
        z, log_q = draw(*posterior(x))
        likelihood = torch.distributions.Bernoulli(logits=decoder(z)).log_prob(x).sum(-1)
        loss = -(likelihood + normal.log_prob(z).sum(-1) - log_q).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    x = np.random.default_rng(0).integers(0, 2, size=[case.num_rows, case.data_size]).astype(np.float32)
    x = torch.from_numpy(x).to(DEVICE)

    def epochs():
        for _ in range(NUM_EPOCHS):
            for rows in torch.randperm(len(x), device=DEVICE).split(case.batch_size):
                train_step(x[rows])

    def round_trip():
        with torch.no_grad():
            q = posterior(x[: case.batch_size])
            z, log_q = draw(*q)
            return log_q.cpu().numpy(), log_prob(*q, z.clone()).cpu().numpy()

    quantities = {"training step": lambda: train_step(x[: case.batch_size]), "epochs": epochs}
    return Flow(quantities, round_trip, sum(parameter.numel() for parameter in parts.parameters()))


CONTENDERS = {"Pyro by hand": make}
