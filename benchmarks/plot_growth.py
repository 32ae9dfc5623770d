"""Draws the cost of one flow against D, from the growth cases of the flow benchmark.

python -m benchmarks.plot_growth
"""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from benchmarks.flow_cases import QUANTITIES
from benchmarks.tables import RESULTS, milliseconds

SIZES = (16, 64, 256, 1024)
# Without the variants that have one part switched off.
OURS = ("tfp_iaf XLA", "tfp_iaf graph", "tfp_iaf XLA, sequential inverse")


def main():
    cases = {size: milliseconds(f"growth_D{size}") for size in SIZES}
    figure, axes = plt.subplots(1, len(QUANTITIES), figsize=(11.0, 3.6), sharey=True, layout="constrained")
    for axis, quantity in zip(axes, QUANTITIES):
        for name in cases[SIZES[0]]:
            if name.startswith("tfp_iaf") and name not in OURS:
                continue
            sizes = [size for size in SIZES if name in cases[size]]
            is_ours = name in OURS
            times = [cases[size][name][quantity] for size in sizes]
            axis.loglog(sizes, times, "o-" if is_ours else "s--", linewidth=2.2 if is_ours else 1.0, label=name)
        axis.set_title(quantity)
        axis.set_xlabel("D")
        axis.set_xticks(SIZES, map(str, SIZES))
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("milliseconds per call")
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    out = RESULTS / "flows" / "growth.png"
    figure.savefig(out, dpi=150)
    print(f"Wrote {out}.")


if __name__ == "__main__":
    main()
