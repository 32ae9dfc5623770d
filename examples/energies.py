"""Fits flows to the four energies of Rezende and Mohamed (2015), and says how far each fit is from its target.

Each target is p(z) = exp(-U(z)) / Z on the plane; a smooth wall outside [-4, 4]^2 makes the energies normalizable. Each flow of
the package, with a few flows and with many, is trained on the reverse KL, the gap that a VAE leaves between its bound and
log p(x). The table and the picture show KL(q to p) = E_q[log q(z) + U(z)] + log Z in nats.

    python examples/energies.py --energies=U1,U2 --flows=planar,iaf_monotone

A run that was stopped goes on with the fits that it lacks when the same command is given again.
"""

# ruff: noqa: E402

import json
import pathlib
import sys

import command_line
from absl import app, flags, logging

# The numbers of flows of each chain. A planar or radial flow has a handful of parameters; the others take fewer flows.
NUM_FLOWS = {
    "planar": (2, 8, 32),
    "radial": (2, 8, 32),
    "nice": (2, 8),
    "sylvester": (2, 8),
    "iaf_affine": (1, 4),
    "iaf_monotone": (1, 2, 4),
}
# Fits of chains of few parameters often end in a local optimum: the best of so many counts.
RESTARTS = {"planar": 3, "radial": 3, "sylvester": 3}
# Radial flows hardly move at the rate that suits the others, whatever the restart.
RATE_FACTORS = {"radial": 10.0}
ENERGY_NAMES = ("U1", "U2", "U3", "U4")

FLAGS = flags.FLAGS
flags.DEFINE_list("energies", list(ENERGY_NAMES), f"Targets; any of {', '.join(ENERGY_NAMES)}.")
flags.DEFINE_list("flows", list(NUM_FLOWS), f"Flows to fit; any of {', '.join(NUM_FLOWS)}.")
flags.DEFINE_list("num_flows", None, "Numbers of flows of every chain; by default 2, 8 and 32, fewer of richer flows.")
flags.DEFINE_integer("steps", 2000, "Optimizer steps of each fit.", lower_bound=1)
flags.DEFINE_integer(
    "annealing_steps", 1000, "Steps over which the weight of the target rises to 1; 0 for none.", lower_bound=0
)
flags.DEFINE_float(
    "learning_rate", 5e-3, "Learning rate of Adam at the start, for radial flows times ten; it falls to zero.", lower_bound=0.0
)
flags.DEFINE_integer(
    "restarts",
    None,
    "Fits of each chain, of which the best counts; by default 3 of planar, radial and Sylvester flows, 1 of others.",
    lower_bound=1,
)
flags.DEFINE_integer("draws", 100_000, "Draws that the KL is estimated from.", lower_bound=2)
flags.DEFINE_bool("jit_compile", False, "Compile with XLA: longer to start, faster steps.")
flags.DEFINE_integer("seed", 0, "Seed of weights and noise.", lower_bound=0)
flags.DEFINE_string("workdir", "runs/energies", "Folder of the finished fits.")
flags.DEFINE_string("out", "runs/energies.png", "Picture to write; the figures go beside it as .json.")
flags.DEFINE_bool("smoke", False, "A run of seconds.")
for _name, _known in (("energies", ENERGY_NAMES), ("flows", NUM_FLOWS)):
    flags.register_validator(_name, command_line.is_list_of(_known), message=command_line.expected_list_of(_known))

flags.register_multi_flags_validator(
    ["steps", "annealing_steps"],
    lambda values: values["annealing_steps"] <= values["steps"],
    message="--annealing_steps must be at most --steps",
)
flags.register_validator("num_flows", command_line.is_widths, message="expected positive integers, like 2,8")

if __name__ == "__main__":
    command_line.parse()

import json_files
import keras
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import training
from energy_targets import HALF_WIDTH, log_normalizer, log_target
from provenance import provenance

import tfp_iaf
from tfp_iaf import vi

TITLES = {
    "planar": "planar",
    "radial": "radial",
    "nice": "NICE",
    "sylvester": "Sylvester",
    "iaf_affine": "IAF, affine",
    "iaf_monotone": "IAF, monotone",
}
PANEL_PIXELS = 96


def make_posterior(flow, num_flows):
    """The layer whose base and flows are fitted."""
    networks = {"hidden_units": (64, 64), "activation": "tanh"}
    if flow.startswith("iaf_"):
        return tfp_iaf.IAF(2, num_flows, bijector_fn=flow.removeprefix("iaf_"), **networks)
    if flow == "nice":
        return tfp_iaf.NICE(2, num_flows, **networks)
    return {"planar": tfp_iaf.PlanarFlow, "radial": tfp_iaf.RadialFlow, "sylvester": tfp_iaf.SylvesterFlow}[flow](2, num_flows)


def restarts(flow):
    """How many fits a chain of these flows gets."""
    return FLAGS.restarts or RESTARTS.get(flow, 1)


def learning_rate(flow):
    """The learning rate of a chain of these flows."""
    return RATE_FACTORS.get(flow, 1.0) * FLAGS.learning_rate


def fit(energy, flow, num_flows):
    """The best of a few fits of one chain: (its figures, its density on the picture's grid)."""
    target, found = log_target(energy), []
    for restart in range(restarts(flow)):
        keras.utils.set_random_seed(FLAGS.seed + restart)
        q = vi.without_features(make_posterior(flow, num_flows))
        result = vi.fit(
            target,
            q,
            num_steps=FLAGS.steps,
            learning_rates=[learning_rate(flow)],
            annealing_steps=FLAGS.annealing_steps,
            seed=FLAGS.seed + restart,
            jit_compile=FLAGS.jit_compile,
        )
        found.append((result.elbo, q))
    q = max(found, key=lambda pair: pair[0])[1]
    z, log_q = q.experimental_sample_and_log_prob(FLAGS.draws, seed=[FLAGS.seed, 1])
    gap, error = tfp_iaf.evaluation.mean_and_standard_error(log_q - target(z))
    figures = {
        "kl": gap + log_normalizer(target),
        "standard_error": error,
        "parameters": sum(variable.shape.num_elements() for variable in q.trainable_variables),
    }
    return figures, np.exp(q.log_prob(grid()))


def grid():
    """The points of a panel, `[N, N, 2]`."""
    axis = np.linspace(-HALF_WIDTH - 0.5, HALF_WIDTH + 0.5, PANEL_PIXELS, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis), axis=-1)


def fitted(energy, flow, num_flows, workdir):
    """As `fit`, from the working folder where a run before has left it."""
    stem = workdir / f"{energy}-{flow}-{num_flows}"
    names = ("steps", "annealing_steps", "draws", "seed")
    chosen = {"learning_rate": learning_rate(flow), "restarts": restarts(flow)}
    settings = {**{name: FLAGS[name].value for name in names}, **chosen}
    path = stem.with_suffix(".json")
    if path.exists():
        figures = json.loads(path.read_text())
        if figures["settings"] != settings:
            raise ValueError(f"{path} is of a run with other settings, {figures['settings']}: choose another --workdir.")
        return figures, np.load(stem.with_suffix(".npy"))
    commit = provenance()["commit"]
    figures, density = fit(energy, flow, num_flows)
    figures |= {"energy": energy, "flow": flow, "num_flows": num_flows, "settings": settings, "commit": commit}
    np.save(stem.with_suffix(".npy"), density.astype(np.float32))
    # Last: a fit without this file is made again.
    json_files.write(path, figures)
    print(f"{energy}, {TITLES[flow]:>13}, {num_flows:>2} flows: {figures['kl']:.4f} ± {figures['standard_error']:.4f} nats")
    return figures, density


def table(fits):
    """The KLs as Markdown, one row per chain."""
    energies = [energy for energy in ENERGY_NAMES if any(figures["energy"] == energy for figures in fits)]
    rows = {}
    for figures in fits:
        row = rows.setdefault((figures["flow"], figures["num_flows"]), {})
        row[figures["energy"]] = f"{figures['kl']:.3f} ± {figures['standard_error']:.3f}"
    cells = [[TITLES[flow], str(num_flows), *(row[energy] for energy in energies)] for (flow, num_flows), row in rows.items()]
    return training.markdown_table(["flow", "flows", *energies], cells)


def draw(panels, chains, path):
    """One row per kind of flow below the targets; for each energy a column per number of flows."""
    sizes = max(len(numbers) for numbers in chains.values())
    shape = len(chains) + 1, sizes * len(FLAGS.energies)
    figure, axes = plt.subplots(*shape, figsize=(shape[1], 1.12 * shape[0]), squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for k, energy in enumerate(FLAGS.energies):
        target = np.exp(log_target(energy)(tf.constant(grid())).numpy() - log_normalizer(log_target(energy)))

        show = {"origin": "lower", "vmin": 0.0, "vmax": target.max(), "cmap": "viridis"}
        axes[0, k * sizes].imshow(target, **show)
        axes[0, k * sizes].set_title(energy, fontsize=9)
        for row, (flow, numbers) in enumerate(chains.items(), start=1):
            axes[row, 0].set_ylabel(TITLES[flow], fontsize=8)
            for column, number in enumerate(numbers):
                figures, density = panels[energy, flow, number]
                axes[row, k * sizes + column].imshow(density, **show)
                axes[row, k * sizes + column].set_title(f"{number}: {figures['kl']:.2f}", fontsize=7)
    axes[0, 0].set_ylabel("target", fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def main(_):
    logging.set_verbosity(logging.ERROR)  # TensorFlow takes several fits for retracing.
    chosen = None if FLAGS.num_flows is None else [int(number) for number in FLAGS.num_flows]
    chains = {flow: chosen or NUM_FLOWS[flow] for flow in FLAGS.flows}
    if FLAGS.smoke:
        FLAGS.annealing_steps, FLAGS.steps, FLAGS.draws, FLAGS.jit_compile = 5, 10, 500, False
        FLAGS.energies = FLAGS.energies[:1]
        chains = {flow: chains[flow][:1] for flow in FLAGS.flows[:2]}
    out, workdir = pathlib.Path(FLAGS.out), pathlib.Path(FLAGS.workdir)
    out.parent.mkdir(parents=True, exist_ok=True)
    workdir.mkdir(parents=True, exist_ok=True)
    try:
        panels = {
            (energy, flow, number): fitted(energy, flow, number, workdir)
            for energy in FLAGS.energies
            for flow, numbers in chains.items()
            for number in numbers
        }
    except (ValueError, OSError) as error:
        sys.exit(f"energies: {error}")
    fits = [figures for figures, _ in panels.values()]
    draw(panels, chains, out)
    log_z = {energy: log_normalizer(log_target(energy)) for energy in FLAGS.energies}
    json_files.write(out.with_suffix(".json"), {"log_z": log_z, "fits": fits, **provenance()})
    print(f"\nKL(q to target) in nats, {FLAGS.draws:,} draws:\n\n{table(fits)}\n\nWrote {out}.")


if __name__ == "__main__":
    app.run(main)
