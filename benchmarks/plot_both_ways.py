"""Draws the picture of the front page: what the density of a given z costs against D, and a posterior by three ways.

    python -m benchmarks.plot_both_ways

Left, from the growth cases of the flow benchmark: the time of log q of a given z as times that of a sample with its density.
Right, from `examples/fit_joint_distribution.py`: mu and log tau of eight schools.
"""

import json

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.plot_growth import SIZES
from benchmarks.tables import RESULTS, load, milliseconds

RATIOS = (1, 3, 10, 30, 100, 300)
# Each package in its faster mode.
CONTENDERS = {
    "tfp_iaf XLA": "tfp_iaf",
    "TFP XLA": "TFP",
    "Pyro": "Pyro",
    "zuko": "zuko",
    "nflows": "nflows",
    "flowjax": "flowjax",
}
WAYS = {"NUTS": "NUTS", "mean field": "mean field", "IAF": "IAF, seed 0"}


def draw_cost(axis):
    """Times of log q of a given z, in those of a sample with its density."""
    cases = {size: milliseconds(f"growth_D{size}") for size in SIZES}
    for name, title in CONTENDERS.items():
        sizes = [size for size in SIZES if name in cases[size]]
        ratios = [cases[size][name]["inverse"] / cases[size][name]["forward"] for size in sizes]
        is_ours = title == "tfp_iaf"
        axis.loglog(sizes, ratios, "o-" if is_ours else "s--", linewidth=2.4 if is_ours else 1.0, label=title)
    errors = [run["contenders"]["tfp_iaf XLA"]["round_trip_error"] for run in load("flows/growth_D*.json")]
    axis.set(title=f"log q of a given z, in times of one sample\n(our largest error: {max(errors):.0e}, float32)", xlabel="D")
    axis.set_xticks(SIZES, map(str, SIZES))
    axis.set_yticks(RATIOS, map(str, RATIOS))
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=8)


def draw_posteriors(axes):
    """Draws of mu and log tau, with what each way says of itself."""
    rows = json.loads((RESULTS / "eight_schools.json").read_text())["rows"]
    with np.load(RESULTS / "eight_schools.npz") as draws:
        for axis, (way, row) in zip(axes, WAYS.items()):
            figures = rows[row]
            axis.scatter(*draws[way].astype(np.float32).T, s=2, alpha=0.25, linewidths=0)
            seen = f"{figures['seconds']:.0f} s, {figures['effective_sample_size_per_draw']:.0%}"
            k = f", k {figures['pareto_k']:.2f}" if "pareto_k" in figures else ""
            axis.set(title=f"{way}\n{seen}{k}", xlim=(-8.0, 22.0), ylim=(-2.5, 3.0))
            axis.set_xlabel("$\\mu$")
    axes[0].set_ylabel("$\\log\\ \\tau$")


def main():
    figure = plt.figure(figsize=(11.0, 3.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.0, 1.5])
    draw_cost(left.subplots())
    axes = right.subplots(1, len(WAYS), sharex=True, sharey=True)
    draw_posteriors(axes)
    right.suptitle("Eight schools: processor seconds, effective sample size per draw, Pareto k", fontsize=9)
    out = RESULTS / "both_ways.png"
    figure.savefig(out, dpi=130, metadata={"Software": None})
    print(f"Wrote {out}.")


if __name__ == "__main__":
    main()
