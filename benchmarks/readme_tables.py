"""Writes the README's tables from the files in benchmarks/results.

python -m benchmarks.readme_tables
"""

import json
import pathlib
import re
import statistics

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
NAMES = {"diagonal": "diagonal", "full_covariance": "full covariance", "iaf": "IAF"}
# Validation bounds of the published runs of the same small MLP after 10,000 steps.
PUBLISHED = {"diagonal": -108.49, "iaf": -110.12}


def load(pattern):
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob(pattern))]


def over_seeds(values):
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def with_error(estimate):
    return f"{estimate['mean']:.2f} ± {estimate['standard_error']:.2f}"


def static_mnist():
    """Mean and standard deviation over the seeds."""
    lines = ["| posterior | parameters | test bound | test log p(x) |", "|---|---|---|---|"]
    for posterior, name in NAMES.items():
        runs = load(f"static_mnist/{posterior}-seed*.json")
        cells = [over_seeds([run["test"][key]["mean"] for run in runs]) for key in ("elbo", "log_likelihood")]
        lines.append(f"| {name} | {runs[0]['parameters'] / 1e6:.2f} M | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def published_mlp():
    """Mean and standard deviation over the seeds."""
    lines = ["| posterior | validation bound after 10k steps | published |", "|---|---|---|"]
    for posterior, published in PUBLISHED.items():
        runs = load(f"published_mlp/{posterior}-seed*.json")
        bound = over_seeds([run["validation_elbo"]["last"] for run in runs])
        lines.append(f"| {NAMES[posterior]} | {bound} | {published:.2f} |")
    return "\n".join(lines)


def digits():
    """Mean over the test images and its standard error."""
    lines = ["| posterior | test bound | test log p(x) |", "|---|---|---|"]
    for posterior, name in NAMES.items():
        (run,) = load(f"digits/{posterior}.json")
        cells = [with_error(run["test"][key]) for key in ("elbo", "log_likelihood")]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def banana():
    (run,) = load("banana.json")
    lines = ["| posterior | KL(q to target) in nats |", "|---|---|"]
    lines += [f"| {name} | {row['kl']:.3f} ± {row['standard_error']:.3f} |" for name, row in run["kl"].items()]
    return "\n".join(lines)


def step_cost():
    (run,) = load("step_cost.json")
    lines = [
        "| posterior | XLA, s per 1,000 steps | times diagonal | graph, s per 1,000 steps | times diagonal |",
        "|---|---|---|---|---|",
    ]
    for posterior, name in NAMES.items():
        cells = [
            f"{run['results'][mode][posterior][key]:.2f}"
            for mode in ("xla", "graph")
            for key in ("ms_per_step", "ratio_to_diagonal")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


TABLES = {table.__name__: table for table in (static_mnist, published_mlp, digits, banana, step_cost)}


def with_tables(text):
    """The README's text with the part between each pair of markers written anew."""
    for name, table in TABLES.items():
        text, count = re.subn(
            rf"(<!-- table {name} -->\n).*?(<!-- end -->)",
            lambda match, table=table: match[1] + table() + "\n" + match[2],
            text,
            flags=re.S,
        )
        if count != 1:
            raise ValueError(f"README.md must have one table `{name}`, has {count}.")
    return text


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(with_tables(readme.read_text()))
