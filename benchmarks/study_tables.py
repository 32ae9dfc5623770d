"""The tables of the studies, from the result files in benchmarks/results/studies."""

import collections
import json
import math
import pathlib
import statistics

RESULTS = pathlib.Path(__file__).parents[1] / "benchmarks" / "results" / "studies"
TITLES = {
    "diagonal": "diagonal",
    "full_covariance": "full covariance",
    "planar-10": "planar, 10 flows",
    "planar-40": "planar, 40 flows",
    "planar-80": "planar, 80 flows",
    "nice": "NICE",
    "sylvester": "Sylvester",
    "hamiltonian-1": "Hamiltonian, 1 leapfrog",
    "hamiltonian-4": "Hamiltonian, 4 leapfrogs",
    "hamiltonian-8": "Hamiltonian, 8 leapfrogs",
    "iaf": "IAF",
    "iaf-monotone": "IAF, monotone",
    "vamp-prior": "diagonal, VampPrior",
    "flow-prior": "diagonal, flow prior",
    "iaf-and-flow-prior": "IAF, flow prior",
}
# Single runs of jaanli/variational-autoencoder: test bound and log p(x), and validation bounds after so many steps.
PUBLISHED = {
    "diagonal": {"test": (-103.31, -97.10), "validation": {10_000: -108.49, 20_000: -106.23, 30_000: -104.50}},
    "iaf": {"test": (-101.64, -95.33), "validation": {10_000: -110.12, 20_000: -105.02, 30_000: -103.76}},
}
# Bound and log p(x) of the paper's first version, Table 1.
TABLE_1 = {"diagonal": (-85.6, -82.2), "full_covariance": (-84.3, -81.4), "iaf": (-84.0, -81.4)}
# Of `small-mlp-ours`: the best recipe, for each posterior.
BEST = {"diagonal": "diagonal-60k", "iaf": "iaf-60k"}
NO_RUNS = "No run has ended yet."


def runs_of(study):
    """Variant -> seed -> the result file's content, `in_order`."""
    runs = collections.defaultdict(dict)
    for path in sorted((RESULTS / study).glob("*-seed*.json")):
        run = json.loads(path.read_text())
        runs[run["variant"]][run["seed"]] = run
    return {variant: runs[variant] for variant in in_order(runs)}


def in_order(variants):
    """First those of `TITLES`, in that order, then the others."""
    order = list(TITLES)
    return sorted(variants, key=lambda variant: (order.index(variant) if variant in order else len(order), variant))


def title(variant):
    return TITLES.get(variant, variant.replace("iaf", "IAF"))


def over_seeds(values, digits=2):
    """Mean ± standard deviation over the seeds; of a single seed its value."""
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def paired(runs, reference, value_of, digits=2):
    """Mean difference to the reference over the seeds that both have, ± its standard error over them."""
    seeds = sorted(set(runs) & set(reference))
    differences = [value_of(runs[seed]) - value_of(reference[seed]) for seed in seeds]
    if not differences:
        return ""
    error = f" ± {statistics.stdev(differences) / math.sqrt(len(differences)):.{digits}f}" if len(differences) > 1 else ""
    return f"{statistics.mean(differences):+.{digits}f}{error} ({len(differences)})"


def bound(run):
    return run["test"]["elbo"]["mean"]


def log_likelihood(run):
    return run["test"]["log_likelihood"]["mean"]


def reference_of(variant, runs):
    """The diagonal posterior of the same set-up, `diagonal-60k` of `iaf-60k`, where there is one; else `diagonal`."""
    same = variant.replace("iaf", "diagonal")
    return same if same.startswith("diagonal") and same in runs else "diagonal"


def study_table(study):
    """Test figures of every variant, and their paired differences to the diagonal posterior."""
    runs = runs_of(study)
    if not runs:
        return NO_RUNS
    lines = [
        "| posterior | seeds | parameters | steps | best at | test bound | test log p(x) | effective sample size "
        "| bound - diagonal's | log p(x) - diagonal's |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for variant, seeds in runs.items():
        results, reference = list(seeds.values()), reference_of(variant, runs)
        cells = [
            title(variant),
            str(len(results)),
            f"{results[0]['parameters'] / 1e6:.2f} M",
            f"{statistics.mean(run['steps'] for run in results):,.0f}",
            f"{statistics.mean(run['validation_elbo']['best_step'] for run in results):,.0f}",
            over_seeds([bound(run) for run in results]),
            over_seeds([log_likelihood(run) for run in results]),
            f"{statistics.mean(run['test']['log_likelihood']['effective_sample_size'] for run in results):.1f} of "
            f"{results[0]['config']['importance_samples']:,}",
        ]
        for value_of in (bound, log_likelihood):
            cells.append("" if variant == reference else paired(seeds, runs.get(reference, {}), value_of))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def front_page():
    """The two rows that a reader needs first."""
    runs = runs_of("small-mlp-ours")
    lines = ["| posterior | seeds | parameters | test bound | test log p(x) |", "|---|---|---|---|---|"]
    for posterior, variant in BEST.items():
        results = list(runs[variant].values())
        cells = [over_seeds([value_of(run) for run in results]) for value_of in (bound, log_likelihood)]
        size = f"{results[0]['parameters'] / 1e6:.2f} M"
        lines.append(f"| {title(posterior)} | {len(results)} | {size} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def small_mlp_published():
    """The table, beside the published figures."""
    runs = runs_of("small-mlp-published")
    lines = ["| posterior | test bound | published | test log p(x) | published |", "|---|---|---|---|---|"]
    for variant, published in PUBLISHED.items():
        results = list(runs.get(variant, {}).values())
        cells = [over_seeds([value_of(run) for run in results]) if results else "" for value_of in (bound, log_likelihood)]
        lines.append(
            f"| {title(variant)} | {cells[0]} | {published['test'][0]:.2f} | {cells[1]} | {published['test'][1]:.2f} |"
        )
    return f"{study_table('small-mlp-published')}\n\n" + "\n".join(lines)


def small_mlp_published_validation():
    """The validation bounds on the way, beside the published ones."""
    runs = runs_of("small-mlp-published")
    lines = ["| posterior | steps | validation bound | published |", "|---|---|---|---|"]
    for variant, published in PUBLISHED.items():
        for step, value in published["validation"].items():
            rows = [row for run in runs.get(variant, {}).values() for row in run["history"] if row["step"] == step]
            ours = over_seeds([row["val_elbo"] for row in rows]) if rows else ""
            lines.append(f"| {title(variant)} | {step:,} | {ours} | {value:.2f} |")
    return "\n".join(lines)


def small_mlp_ours():
    return study_table("small-mlp-ours") + curves("small-mlp-ours")


def deep_mnist():
    return study_table("deep-mnist") + more_samples("deep-mnist") + curves("deep-mnist")


def static_mnist():
    return study_table("static-mnist") + curves("static-mnist")


def table_1():
    """The table, beside the published differences to the diagonal posterior."""
    if not runs_of("table-1"):
        return NO_RUNS
    differences = ", ".join(
        f"{title(name)} {bound - TABLE_1['diagonal'][0]:+.1f} and {log_p - TABLE_1['diagonal'][1]:+.1f}"
        for name, (bound, log_p) in TABLE_1.items()
        if name != "diagonal"
    )
    return f"{study_table('table-1')}\n\nPublished differences of bound and log p(x): {differences}.{curves('table-1')}"


def natural_images():
    """Bits per dimension of every variant, and its paired differences to the diagonal posterior of the same inference."""
    runs = runs_of("natural-images")
    if not runs:
        return NO_RUNS
    lines = ["| posterior | seeds | parameters | steps | test bits/dim | bits/dim - diagonal's |", "|---|---|---|---|---|---|"]
    for variant, seeds in runs.items():
        results, reference = list(seeds.values()), reference_of(variant, runs)
        difference = "" if variant == reference else paired(seeds, runs.get(reference, {}), bits_per_dimension, digits=4)
        size, steps = f"{results[0]['parameters'] / 1e6:.2f} M", f"{results[0]['steps']:,}"
        bits = over_seeds([bits_per_dimension(run) for run in results], digits=3)
        lines.append(f"| {title(variant)} | {len(results)} | {size} | {steps} | {bits} | {difference} |")
    return "\n".join(lines) + curves("natural-images")


def bits_per_dimension(run):
    """Of the bound."""
    return -bound(run) / (math.prod(run["data_shape"]) * math.log(2.0))


def more_samples(study):
    """A line for each run of which `benchmarks.more_samples` has looked at some images again."""
    lines = ""
    for path in sorted((RESULTS.parent / "more_samples").glob(f"{study}-*.json")):
        run = json.loads(path.read_text())
        mean, error = run["difference"]["mean"], run["difference"]["standard_error"]
        lines += (
            f"\n\n{title(run['variant'])}: {run['num_samples']:,} importance samples add {mean:.2f} ± {error:.2f} nats to "
            f"log p(x), on {run['images']} test images (`more_samples/{path.name}`)."
        )
    return lines


def small_mlp_published_curves():
    return curves("small-mlp-published").strip() or NO_RUNS


def curves(study):
    """The link to the study's figure, where `make report` has drawn one."""
    if not (RESULTS / study / "curves.png").exists():
        return ""
    return f"\n\n![Validation bound of every variant against the steps](../benchmarks/results/studies/{study}/curves.png)"


TABLES = {
    table.__name__: table
    for table in (
        front_page,
        small_mlp_published,
        small_mlp_published_validation,
        small_mlp_published_curves,
        small_mlp_ours,
        deep_mnist,
        static_mnist,
        table_1,
        natural_images,
    )
}
