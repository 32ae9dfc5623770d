"""Draws the curves of the studies, and writes every table anew.

python -m benchmarks.report
"""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from benchmarks import studies, study_tables, tables


def draw(study, runs, path):
    """The validation bound against the steps: of each variant the mean over its seeds, and their range."""
    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    ends = []
    for variant, seeds in runs.items():
        # Runs that stopped early are shorter: the curve goes as far as all of them.
        rows = list(zip(*(run["history"] for run in seeds.values())))
        steps = [row[0]["step"] for row in rows]
        bounds = np.array([[run["val_elbo"] for run in row] for row in rows])
        (line,) = axes.plot(steps, bounds.mean(axis=1), label=f"{study_tables.title(variant)} ({len(seeds)})")
        axes.fill_between(steps, bounds.min(axis=1), bounds.max(axis=1), color=line.get_color(), alpha=0.2, linewidth=0)
        ends += [bounds[len(bounds) // 4 :].min(), bounds.max()]
    # The first quarter would flatten all the rest.
    low, high = min(ends), max(ends)
    margin = 0.1 * (high - low)
    axes.set(title=study, xlabel="optimizer steps", ylabel="validation bound [nats]", ylim=(low - margin, high + margin))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, title="posterior (seeds)")
    # Without the date and the version that Matplotlib would write into it.
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)


def main():
    for study in studies.NAMES:
        runs = study_tables.runs_of(study)
        if runs:
            draw(study, runs, study_tables.RESULTS / study / "curves.png")
            print(f"{study}: {', '.join(f'{variant} ({len(seeds)})' for variant, seeds in runs.items())}")
    tables.main()


if __name__ == "__main__":
    main()
