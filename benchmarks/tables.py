"""Writes the tables of README.md and of the pages in docs/ from the files in benchmarks/results.

python -m benchmarks.tables
"""

import functools
import json
import pathlib
import re
import statistics

from benchmarks import speed_tables, study_tables
from benchmarks.claims import claims
from benchmarks.flow_cases import QUANTITIES
from benchmarks.speed_tables import fastest_peer, milliseconds, number

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("benchmarks", "choosing", "results", "serving", "variational_inference")),
]
NAMES = {"diagonal": "diagonal", "full_covariance": "full covariance", "iaf": "IAF"}
FLOWS = {
    "planar": "planar",
    "radial": "radial",
    "nice": "NICE",
    "sylvester": "Sylvester",
    "iaf_affine": "IAF, affine",
    "iaf_monotone": "IAF, monotone",
}
# Validation bounds of the published runs of the same small MLP after 10,000 steps.
PUBLISHED = {"diagonal": -108.49, "iaf": -110.12}


def load(pattern):
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob(pattern))]


def over_seeds(values):
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def with_error(estimate):
    return f"{estimate['mean']:.2f} ± {estimate['standard_error']:.2f}"


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


def energies():
    """One row per chain of flows, one column per energy."""
    runs = load("energies.json")
    if not runs:
        return study_tables.NO_RUNS
    (run,) = runs
    names = list(run["log_z"])
    lines = [f"| flow | flows | parameters | {' | '.join(names)} |", "|---" * (3 + len(names)) + "|"]
    chains = {}
    for fit in run["fits"]:
        chains.setdefault((fit["flow"], fit["num_flows"]), {})[fit["energy"]] = fit
    for (flow, num_flows), fits in chains.items():
        cells = [f"{fits[name]['kl']:.3f} ± {fits[name]['standard_error']:.3f}" for name in names]
        lines.append(f"| {FLOWS[flow]} | {num_flows} | {fits[names[0]]['parameters']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def mnist_resnet():
    lines = ["| posterior | parameters | test bound | test log p(x) |", "|---|---|---|---|"]
    for posterior, name in NAMES.items():
        (run,) = load(f"mnist_resnet/{posterior}.json")
        cells = [with_error(run["test"][key]) for key in ("elbo", "log_likelihood")]
        lines.append(f"| {name} | {run['parameters'] / 1e6:.2f} M | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def cifar_small():
    lines = ["| inference | posterior | parameters | test bound | test -log p(x) |", "|---|---|---|---|---|"]
    for inference in ("bottom-up", "bidirectional"):
        for posterior in ("diagonal", "iaf"):
            (run,) = load(f"cifar_small/{inference}-{posterior}.json")
            bits = run["test_bits_per_dim"]
            cells = [f"{bits[key]['mean']:.3f} ± {bits[key]['standard_error']:.3f}" for key in ("elbo", "log_likelihood")]
            lines.append(f"| {inference} | {NAMES[posterior]} | {run['parameters'] / 1e6:.2f} M | {' | '.join(cells)} |")
    return "\n".join(lines)


def image_step_cost():
    """Times the diagonal posterior's step; the rows that a model does not have are empty."""
    models = {
        "mnist_resnet": "MNIST ResNet",
        "cifar_small_bidirectional": "hierarchical, bidirectional",
        "cifar_small_bottom_up": "hierarchical, bottom-up",
    }
    modes = {"graph": "graph", "xla": "XLA"}
    runs = {case: load(f"step_cost/{case}.json")[0]["results"] for case in models}
    lines = [
        "| posterior | " + " | ".join(f"{title}, {mode}" for title in models.values() for mode in modes.values()) + " |",
        "|---" * (1 + len(models) * len(modes)) + "|",
    ]
    for posterior, name in {**NAMES, "linear": "linear"}.items():
        cells = [
            f"{runs[case][mode][posterior]['ratio_to_diagonal']:.2f}" if posterior in runs[case][mode] else ""
            for case in models
            for mode in modes
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def before_after(folder):
    """Times and first calls of this version's flows, divided by those of the first edition."""
    lines = [
        "| case | | XLA | graph | eager | first call, XLA | graph | eager |",
        "|---" * 8 + "|",
    ]
    for case in ("D64", "D256"):
        (run,) = load(f"{folder}/{case}.json")
        for quantity in QUANTITIES:
            cells = [
                f"{run['results'][mode][quantity][key]:.2f}"
                for key in ("ratio", "first_call_ratio")
                for mode in ("XLA", "graph", "eager")
            ]
            lines.append(f"| {case} | {quantity} | {' | '.join(cells)} |")
    return "\n".join(lines)


def objective_cost():
    """Steps with path gradients beside those without."""
    (run,) = load("objective_cost/small_mlp.json")
    lines = ["| a step of | compared with | XLA | graph |", "|---|---|---|---|"]
    for name, baseline in {"sticking_the_landing": "elbo", "doubly_reparameterized": "importance_weighted"}.items():
        cells = [f"{run['results'][mode][name]['ratio']:.2f}" for mode in ("xla", "graph")]
        lines.append(f'| `"{name}"` | `"{baseline}"` | {" | ".join(cells)} |')
    return "\n".join(lines)


def serving_latency():
    """A request for a posterior sample, beside TFP's own flow."""
    (run,) = load("serving_latency.json")
    lines = ["| rows of a request | tfp_iaf, ms | TFP's flow, ms | ratio |", "|---|---|---|---|"]
    for batch, figures in run["milliseconds"].items():
        cells = (f"{figures[name]:.2f}" for name in ("tfp_iaf", "tensorflow_probability", "ratio"))
        lines.append(f"| {batch} | {' | '.join(cells)} |")
    return "\n".join(lines)


# Cases of the flow benchmark, as the pages call them: D, context, hidden layers, flows, batch.
FLOW_CASES = {
    "D64": "64, 64, 2x512, 4, 256",
    "D256": "256, 64, 2x1024, 2, 256",
    "paper": "32, 64, 2x1920, 8, 128",
    "D64_batch_1": "64, 64, 2x512, 4, 1",
}


def measured_flow_cases(folder="flows"):
    return {case: title for case, title in FLOW_CASES.items() if (RESULTS / folder / f"{case}.json").exists()}


def flows(folder):
    """Ours in both compiled modes, and the fastest peer of each row."""
    lines = [
        "| D, context, hidden, flows, batch | | XLA, ms | graph, ms | fastest peer, ms | XLA / peer | graph / peer |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, title in measured_flow_cases(folder).items():
        rows = milliseconds(case, folder)
        for quantity in ("forward", "training step", "inverse"):
            xla, graph = (rows[f"tfp_iaf {mode}"][quantity] for mode in ("XLA", "graph"))
            fastest = fastest_peer(rows, quantity)
            peer = rows[fastest][quantity]
            cells = [number(xla), number(graph), f"{number(peer)} ({fastest})", f"{xla / peer:.2f}", f"{graph / peer:.2f}"]
            lines.append(f"| {title if quantity == 'forward' else ''} | {quantity} | {' | '.join(cells)} |")
    return "\n".join(lines)


def flow_parts():
    """The same work with one part switched off, as times the time with all of them."""
    parts = {
        "two network evaluations per flow": ("tfp_iaf XLA, two evaluations", ("training step",)),
        "graph mode for XLA": ("tfp_iaf graph", ("forward", "training step", "inverse")),
        "fixed-point inverse": ("tfp_iaf XLA, fixed-point inverse", ("inverse",)),
        "sequential inverse": ("tfp_iaf XLA, sequential inverse", ("inverse",)),
    }
    cases = [case for case in measured_flow_cases() if case != "D64_batch_1"]
    quantities = ("forward", "training step", "inverse")
    lines = [
        "| instead | " + " | ".join(f"{case}, {quantity}" for case in cases for quantity in quantities) + " |",
        "|---" * (1 + len(cases) * len(quantities)) + "|",
    ]
    rows = {case: milliseconds(case) for case in cases}
    for part, (name, measured) in parts.items():
        cells = [
            f"{rows[case][name][quantity] / rows[case]['tfp_iaf XLA'][quantity]:.2f}" if quantity in measured else ""
            for case in cases
            for quantity in quantities
        ]
        lines.append(f"| {part} | {' | '.join(cells)} |")
    return "\n".join(lines)


def inverse_cost():
    """The inverse beside the forward pass in the same mode, and beside the fastest peer's."""
    lines = [
        "| D | inverse / forward, XLA | graph | fastest peer's inverse / ours, XLA | graph |",
        "|---|---|---|---|---|",
    ]
    for case in ("D64", "D256"):
        rows = milliseconds(case)
        peer = rows[fastest_peer(rows, "inverse")]["inverse"]
        ours = [rows[f"tfp_iaf {mode}"] for mode in ("XLA", "graph")]
        cells = [f"{row['inverse'] / row['forward']:.1f}" for row in ours]
        cells += [f"{peer / row['inverse']:.1f}" for row in ours]
        lines.append(f"| {case[1:]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def dimension():
    """KL(q to p) per dimension of every family and posterior, by the dimension, and how the time grows."""
    (run,) = load("dimension.json")
    fits = {(fit["family"], fit["posterior"], fit["size"]): fit for fit in run["fits"]}
    sizes = sorted({size for _, _, size in fits})
    titles = {**NAMES, "planar": "planar, 16 flows"}
    families = {"in_family": "in family", "maf_direction": "MAF direction", "permuted": "permuted"}
    lines = [
        f"| target | posterior | {' | '.join(f'D = {size}' for size in sizes)} | seconds at D = {sizes[-1]} |",
        "|---" * (3 + len(sizes)) + "|",
    ]
    for family in dict.fromkeys(family for family, _, _ in fits):
        for posterior in ("diagonal", "full_covariance", "planar", "iaf"):
            row = [fits[family, posterior, size] for size in sizes]
            cells = [f"{fit['kl_per_dimension_q_to_p']['mean']:.4f}" for fit in row]
            name = f"{families[family]} | {titles[posterior]}"
            lines.append(f"| {name} | {' | '.join(cells)} | {row[-1]['seconds']:.0f} |")
    return "\n".join(lines)


def synthesis():
    """Images per second of each way to draw them."""
    (run,) = load("synthesis.json")
    batches = list(run["results"])
    titles = {
        "IAF-VAE": "IAF-VAE, one pass of the decoder",
        "cached": "pixel by pixel, kept features",
        "naive": "pixel by pixel, the whole network for each",
    }
    columns = [f"batch {batch}: images per second | times slower" for batch in batches]
    lines = [f"| | parameters | {' | '.join(columns)} |", "|---" * (2 + 2 * len(batches)) + "|"]
    for name, title in titles.items():
        rows = [run["results"][batch][name] for batch in batches]
        cells = [f"{number(row['images_per_second'])} | {number(row['times_slower_than_the_vae'])}" for row in rows]
        lines.append(f"| {title} | {rows[0]['parameters'] / 1e6:.2f} M | {' | '.join(cells)} |")
    return "\n".join(lines)


def conditional_density():
    """Fitted and true log-likelihood of new data, and how many of them lie in the fitted intervals."""
    (run,) = load("conditional_density.json")
    loss, coverage = run["difference"], run["coverage_of_80_percent_intervals"]
    lines = [
        "| | log-likelihood, true | fitted | difference | in the 80 % intervals of y1 | of y2 |",
        "|---|---|---|---|---|---|",
        f"| new examples | {run['log_likelihood']['true']:.3f} | {run['log_likelihood']['fitted']:.3f} "
        f"| {loss['mean']:.3f} ± {loss['standard_error']:.3f} | {coverage['y1']:.1%} | {coverage['y2']:.1%} |",
    ]
    return "\n".join(lines)


def conditional_digits():
    """How many samples of each class a classifier of real digits takes for that class."""
    (run,) = load("conditional_digits.json")
    found = run["recognised"]
    classes = found["means_by_class"]
    lines = [
        f"| | all | {' | '.join(classes)} |",
        "|---" * (2 + len(classes)) + "|",
        f"| means of samples recognised | {found['means']:.1%} | {' | '.join(f'{share:.1%}' for share in classes.values())} |",
        f"| drawn pixels recognised | {found['drawn_pixels']:.1%} |{' |' * len(classes)}",
        f"| real test images recognised | {found['real_test_images']:.1%} |{' |' * len(classes)}",
    ]
    return "\n".join(lines)


def eight_schools():
    return joint_distribution("eight_schools", shown=("mu", "log_tau", "theta_1"))


def funnel():
    return joint_distribution("funnel", shown=("v", "x_1"))


def joint_distribution(target, shown):
    """What each way finds of a joint distribution, from the file of `examples/fit_joint_distribution.py`."""
    (run,) = load(f"{target}.json")
    columns = [run["names"].index(name) for name in shown]
    names = [name.replace("_", " ") for name in shown]
    lines = [
        f"| | {' | '.join(f'{name}: mean / sd' for name in names)} | effective sample size per draw | Pareto k "
        "| processor seconds |",
        "|---" * (4 + len(names)) + "|",
    ]
    for title, row in run["rows"].items():
        cells = [f"{row['mean'][k]:.2f} / {row['sd'][k]:.2f}" for k in columns]
        cells += [f"{row['effective_sample_size_per_draw']:.0%}", f"{row['pareto_k']:.2f}" if "pareto_k" in row else ""]
        lines.append(f"| {title} | {' | '.join(cells)} | {row['seconds']:.0f} |")
    return "\n".join(lines)


def gaps():
    """What the bound of finished runs loses, and to what."""
    runs = {}
    for run in (json.loads(path.read_text()) for path in sorted((RESULTS / "gaps").glob("small-mlp-ours-*.json"))):
        runs.setdefault(run["variant"], []).append(run)
    lines = ["| posterior | seeds | log p(x) - bound | approximation gap | amortization gap |", "|---|---|---|---|---|"]
    for variant, found in runs.items():
        approximation, amortization = (
            [run[name]["mean"] for run in found] for name in ("approximation_gap", "amortization_gap")
        )
        whole = [sum(parts) for parts in zip(approximation, amortization)]
        cells = [study_tables.over_seeds(values) for values in (whole, approximation, amortization)]
        lines.append(f"| {study_tables.title(variant)} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def requirements():
    """Milliseconds of each posterior at the larger size, and the growth from the smaller one."""
    names = {
        "diagonal": "DiagonalGaussian",
        "full_covariance": "FullCovariance",
        "planar": "PlanarFlow",
        "radial": "RadialFlow",
        "sylvester": "SylvesterFlow",
        "nice": "NICE",
        "iaf": "IAF",
        "recurrent_iaf": "RecurrentIAF",
    }
    (run,) = load("requirements.json")
    lines = ["| posterior | sample | growth | with gradient | growth | density of a given z | growth |", "|---" * 7 + "|"]
    for posterior, (small, large) in ((name, by_size.values()) for name, by_size in run["milliseconds"].items()):
        cells = [
            cell
            for quantity in ("sample", "gradient", "density")
            for cell in (number(large[quantity]), f"{large[quantity] / small[quantity]:.1f}")
        ]
        lines.append(f"| `{names[posterior]}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def stability():
    """The runs that did not end finite, by rate, log-scale and context."""
    (run,) = load("stability.json")
    kinds = {}
    for row in run["runs"]:
        kinds.setdefault((row["rate"], row["scale"], row["context"]), {})[row["num_flows"]] = row
    sizes = sorted({row["num_flows"] for row in run["runs"]})
    head = "| rate | log-scale | context | " + " | ".join(f"K = {size}" for size in sizes) + " |"
    lines = [head, "|---" * (3 + len(sizes)) + "|"]
    for (rate, scale, context), rows in kinds.items():
        cells = [f"{rows[size]['not_finite']} of {rows[size]['runs']}" for size in sizes]
        lines.append(f"| {rate:g} | {scale} | {'yes' if context else 'no'} | {' | '.join(cells)} |")
    return "\n".join(lines)


def flow_machine(folder):
    (run,) = load(f"{folder}/D64.json")
    machine, versions = run["machine"], {}
    for row in run["contenders"].values():
        versions |= row.get("versions", {})
    packages = ", ".join(f"{name} {version}" for name, version in sorted(versions.items(), key=lambda item: item[0].lower()))
    gpu = f"{machine['gpu']}; " if "gpu" in machine else ""
    return f"{gpu}{machine['cpu']}, {machine['cores']} cores. {packages}."


# Of the flow benchmark, one for each processor.
FLOW_FOLDERS = ("flows", "flows_intel", "flows_h100")


TABLES = {
    table.__name__: table
    for table in (
        claims,
        published_mlp,
        digits,
        banana,
        energies,
        dimension,
        synthesis,
        gaps,
        stability,
        requirements,
        conditional_density,
        conditional_digits,
        eight_schools,
        funnel,
        objective_cost,
        serving_latency,
        mnist_resnet,
        cifar_small,
        image_step_cost,
        flow_parts,
        inverse_cost,
    )
}
TABLES |= {folder: functools.partial(before_after, folder) for folder in ("before_after", "before_after_intel")}
TABLES |= {folder: functools.partial(flows, folder) for folder in FLOW_FOLDERS}
TABLES |= {folder.replace("flows", "flow_machine"): functools.partial(flow_machine, folder) for folder in FLOW_FOLDERS}
TABLES |= speed_tables.TABLES | study_tables.TABLES


MARKED = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", flags=re.S)


def names_of(text):
    """The names of the tables that a page has markers for."""
    return [match[2] for match in MARKED.finditer(text)]


def with_tables(text):
    """A page's text with the part between each pair of markers written anew."""
    unknown = set(names_of(text)) - set(TABLES)
    if unknown:
        raise ValueError(f"A page has markers of unknown tables {sorted(unknown)}; there are: {', '.join(TABLES)}.")
    return MARKED.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}\n{match[3]}", text)


def main():
    for page in PAGES:
        text = page.read_text()
        page.write_text(with_tables(text))
        print(f"{page.relative_to(ROOT)}: {', '.join(names_of(text))}")


if __name__ == "__main__":
    main()
