"""PyTorch's flows, in eager mode, on the GPU where there is one: Pyro, zuko, nflows, normflows.

The direction each of them evaluates in parallel is noise -> latent, as in an inverse autoregressive flow.
"""

import torch

from benchmarks.contenders import Flow

PACKAGES = ("torch", "pyro-ppl", "zuko", "nflows", "normflows")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def pyro_flows(case):
    from pyro.distributions.transforms import ConditionalAffineAutoregressive
    from pyro.nn import ConditionalAutoRegressiveNN

    modules = torch.nn.ModuleList(
        ConditionalAffineAutoregressive(
            ConditionalAutoRegressiveNN(case.event_size, case.context_size, list(case.hidden_units))
        )
        for _ in range(case.num_flows)
    )

    def forward(module, y, context):
        flow = module.condition(context)
        z = flow(y)
        return z, flow.log_abs_det_jacobian(y, z)

    def inverse(module, z, context):
        flow = module.condition(context)
        y = flow.inv(z)
        return y, flow.log_abs_det_jacobian(y, z)

    return modules, forward, inverse


def zuko_flows(case):
    from zuko.flows.autoregressive import MaskedAutoregressiveTransform

    modules = torch.nn.ModuleList(
        MaskedAutoregressiveTransform(case.event_size, case.context_size, hidden_features=case.hidden_units)
        for _ in range(case.num_flows)
    )

    def forward(module, y, context):
        return module(context).call_and_ladj(y)

    def inverse(module, z, context):
        y, log_det = module(context).inv.call_and_ladj(z)
        return y, -log_det

    return modules, forward, inverse


def made_arguments(case):
    """nflows's and its descendant normflows's: an initial layer, then blocks of one masked layer each."""
    width = case.hidden_units[0]
    if set(case.hidden_units) != {width}:
        raise ValueError("nflows has layers of one width only.")
    return {
        "features": case.event_size,
        "hidden_features": width,
        "num_blocks": len(case.hidden_units) - 1,
        "use_residual_blocks": False,
    }


def nflows_flows(case):
    from nflows.transforms import MaskedAffineAutoregressiveTransform

    modules = torch.nn.ModuleList(
        MaskedAffineAutoregressiveTransform(context_features=case.context_size, **made_arguments(case))
        for _ in range(case.num_flows)
    )

    def forward(module, y, context):
        return module(y, context)

    def inverse(module, z, context):
        y, log_det = module.inverse(z, context)
        return y, -log_det

    return modules, forward, inverse


def normflows_flows(case):
    """Without context, which is less work: normflows takes one in residual networks only."""
    from normflows.flows import MaskedAffineAutoregressive

    modules = torch.nn.ModuleList(MaskedAffineAutoregressive(**made_arguments(case)) for _ in range(case.num_flows))

    def forward(module, y, context):
        return module(y)

    def inverse(module, z, context):
        y, log_det = module.inverse(z)
        return y, -log_det

    return modules, forward, inverse


def finish():
    """Returns when the work is done: a GPU's is still under way when a call returns."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def flow_of(make_flows):
    """The function of a case that makes the `Flow` of one package's flows."""

    def make(case):
        torch.manual_seed(0)
        modules, flow_forward, flow_inverse = make_flows(case)
        modules.to(DEVICE)
        parameters = list(modules.parameters())
        context = torch.randn(case.batch_size, case.context_size, device=DEVICE, requires_grad=True)
        z_given = torch.randn(case.batch_size, case.event_size, device=DEVICE)

        def standard_normal(y):
            return torch.distributions.Normal(0.0, 1.0).log_prob(y).sum(-1)

        def sample():
            z = torch.randn(case.batch_size, case.event_size, device=DEVICE)
            log_q = standard_normal(z)
            for module in modules:
                z, log_det = flow_forward(module, z.flip(-1), context)
                log_q = log_q - log_det
            return z, log_q

        def log_prob(z):
            log_q = 0.0
            for module in reversed(modules):
                z, log_det = flow_inverse(module, z, context)
                z = z.flip(-1)
                log_q = log_q - log_det
            return log_q + standard_normal(z)

        def forward():
            with torch.no_grad():
                sample()
            finish()

        def training_step():
            z, log_q = sample()
            loss = (log_q + 0.5 * z.square().sum(-1)).mean()
            torch.autograd.grad(loss, [*parameters, context], allow_unused=True)  # normflows has no context.
            finish()

        def inverse():
            with torch.no_grad():
                log_prob(z_given.clone())
            finish()

        def round_trip():
            with torch.no_grad():
                z, log_q = sample()
                return log_q.cpu().numpy(), log_prob(z.clone()).cpu().numpy()

        quantities = {"forward": forward, "training step": training_step, "inverse": inverse}
        return Flow(quantities, round_trip, sum(parameter.numel() for parameter in parameters))

    return make


CONTENDERS = {
    "Pyro": flow_of(pyro_flows),
    "zuko": flow_of(zuko_flows),
    "nflows": flow_of(nflows_flows),
    "normflows (no context)": flow_of(normflows_flows),
}
