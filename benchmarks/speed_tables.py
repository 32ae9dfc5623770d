"""Tables of the benchmarks of speed, and what those of dense flows read; `benchmarks.tables` writes them into the pages."""

import functools
import json
import pathlib

from benchmarks.conv_cases import CASES as CONV_CASES
from benchmarks.flow_cases import GROWTH, QUANTITIES
from benchmarks.study_tables import in_order, title
from benchmarks.vae_cases import NUM_EPOCHS

__all__ = ["TABLES"]

RESULTS = pathlib.Path(__file__).parent / "results"
# Cases of the flow benchmark that hold enough weights to count.
LARGE_CASES = ("D64", "D256", "paper")
# One folder of the flow benchmark for each processor on which memory was measured.
MEMORY_FOLDERS = ("flows_intel",)
STEP_COSTS = {"step_cost": "small_mlp", "static_mnist_cost": "static-mnist"}


def load(path):
    return json.loads((RESULTS / path).read_text())


def measured(path):
    """The rows of a case's contenders, without those that failed."""
    return {name: row for name, row in load(path)["contenders"].items() if "error" not in row}


def milliseconds(case, folder="flows"):
    """Contender -> quantity -> median milliseconds, of one case, from the folder of one processor."""
    return {
        name: {quantity: figures["median"] for quantity, figures in row["milliseconds"].items()}
        for name, row in measured(f"{folder}/{case}.json").items()
    }


def fastest_peer(rows, quantity):
    """The name of the fastest contender that is not ours, of `milliseconds`."""
    return min((name for name in rows if not name.startswith("tfp_iaf")), key=lambda name: rows[name][quantity])


def number(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def eager_cost():
    results = load("eager_cost.json")["results"]
    quantities = list(results["shifts"])
    lines = [f"| | {' | '.join(quantities)} |", "|---" * (1 + len(quantities)) + "|"]

    def line(name, cells):
        lines.append(f"| {name} | {' | '.join(cells)} |")

    line("posterior layer: eager / graph", [f"{results['posterior'][each]['ratio']:.2f}" for each in quantities])
    for mode in ("eager", "graph"):
        line(f"through TFP's classes, {mode}, ms", [f"{results['TFP'][each][f'{mode}_ms']:.1f}" for each in quantities])
    line("a chain of `tfb.Shift` there, eager, ms", [f"{results['shifts'][each]['eager_ms']:.1f}" for each in quantities])
    return "\n".join(lines)


def waiting():
    seconds = load("waiting.json")["seconds"]
    lines = ["| | diagonal, s | IAF, s | ratio |", "|---|---|---|---|"]
    for mode, figures in seconds["first_step"].items():
        cells = (f"{figures[name]:.2f}" for name in ("diagonal", "iaf", "ratio"))
        lines.append(f"| first step of `fit`, {mode} | {' | '.join(cells)} |")
    lines.append(f"| `import tfp_iaf`, after TensorFlow, Keras and TFP | {seconds['import_tfp_iaf']:.2f} | | |")
    return "\n".join(lines)


def vaes():
    """Milliseconds of a training step, seconds of an epoch, and its ratio to that of `fit` in graph mode."""
    lines = ["| posterior | | training step, ms | epoch of 100 steps, s | epoch / `fit`, graph |", "|---|---|---|---|---|"]
    for case in ("diagonal", "IAF"):
        medians = milliseconds(f"VAE_{case}", "vaes")
        for name, row in medians.items():
            ratio = row["epochs"] / medians["tfp_iaf graph"]["epochs"]
            epoch = row["epochs"] / NUM_EPOCHS / 1e3
            lines.append(f"| {case} | {name} | {row['training step']:.1f} | {epoch:.2f} | {ratio:.2f} |")
    return "\n".join(lines)


def step_cost(case):
    """Seconds per 1,000 training steps with each posterior of a model."""
    modes = load(f"step_cost/{case}.json")["results"]
    titles = " | ".join(f"{mode}, s per 1,000 steps | times diagonal" for mode in ("XLA", "graph"))
    lines = [f"| posterior | {titles} |", "|---" * 5 + "|"]
    for name in in_order(modes["xla"]):
        figures = [modes[mode][name] for mode in ("xla", "graph")]
        cells = " | ".join(f"{number(each['ms_per_step'])} | {each['ratio_to_diagonal']:.2f}" for each in figures)
        lines.append(f"| {title(name)} | {cells} |")
    return "\n".join(lines)


def flow_memory(folder):
    """The peak of a training process's memory beyond its imports: ours, and the leanest peer's."""
    lines = ["| case | graph, MiB | XLA, MiB | leanest peer, MiB | graph / peer |", "|---|---|---|---|---|"]
    for case in LARGE_CASES:
        rows = measured(f"{folder}/{case}.json")
        peaks = {name: row["peak_mib"]["training step"] for name, row in rows.items()}
        leanest = min((name for name in peaks if not name.startswith("tfp_iaf")), key=peaks.get)
        graph, xla, peer = peaks["tfp_iaf graph"], peaks["tfp_iaf XLA"], peaks[leanest]
        lines.append(f"| {case} | {graph:.0f} | {xla:.0f} | {peer:.0f} ({leanest}) | {graph / peer:.2f} |")
    return "\n".join(lines)


def growth():
    """Milliseconds of our flows, and of the fastest peer, against batch and depth."""
    columns = " | ".join(f"{quantity}, XLA | graph | fastest peer" for quantity in QUANTITIES)
    lines = [f"| | {columns} |", "|---" * (1 + 3 * len(QUANTITIES)) + "|"]
    for case in GROWTH:
        rows, cells = milliseconds(case.replace(" ", "_"), "flows_intel"), []
        for quantity in QUANTITIES:
            cells += [number(rows[f"tfp_iaf {mode}"][quantity]) for mode in ("XLA", "graph")]
            peer = fastest_peer(rows, quantity)
            cells.append(f"{number(rows[peer][quantity])} ({peer})")
        _, varied, size = case.split()
        lines.append(f"| {varied}: {int(size):,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def conv_flows():
    """Milliseconds of convolutional flows, and their ratio to the faster of the same flows by hand."""
    lines = ["| batch | | XLA, ms | graph, ms | by hand, ms | XLA / by hand | graph / by hand |", "|---" * 7 + "|"]
    for name, case in CONV_CASES.items():
        rows = milliseconds(name.replace(" ", "_"), "conv_flows")
        batch = f"{case.batch_size}, weight-normalized" if case.weight_norm else str(case.batch_size)
        for quantity in QUANTITIES:
            xla, graph = (rows[f"tfp_iaf {mode}"][quantity] for mode in ("XLA", "graph"))
            best = fastest_peer(rows, quantity)
            peer = rows[best][quantity]
            cells = f"{xla:.1f} | {graph:.1f} | {peer:,.1f} ({best.removeprefix('by hand, ')})"
            lines.append(f"| {batch} | {quantity} | {cells} | {xla / peer:.3g} | {graph / peer:.3g} |")
            batch = ""
    return "\n".join(lines)


def inverse_methods():
    """The time of each inverse divided by that of a forward pass, by coupling and mode."""
    rows = load("inverse_methods.json")["rows"]
    ratios = {}
    for row in rows:
        key = row["event_size"], f"{len(row['hidden_units'])}x{row['hidden_units'][0]}", row["batch_size"]
        ratios.setdefault(key, {})[row["weights"], row["mode"]] = row["ratio_to_forward"]
    columns = [(weights, mode) for weights in ("initial", "fitted", "strong") for mode in ("XLA", "graph")]
    titles = " | ".join(f"{weights}, {mode}" for weights, mode in columns)
    lines = [f"| D, hidden, batch | {titles} |", "|---" * (1 + len(columns)) + "|"]
    for (size, hidden, batch_size), found in ratios.items():
        cells = " | ".join(f"{found[column]['blocks']:.1f} ({found[column]['fixed_point']:.1f})" for column in columns)
        lines.append(f"| {size}, {hidden}, {batch_size} | {cells} |")
    return "\n".join(lines)


TABLES = {table.__name__: table for table in (eager_cost, waiting, vaes, growth, conv_flows, inverse_methods)}
TABLES |= {name: functools.partial(step_cost, case) for name, case in STEP_COSTS.items()}
TABLES |= {folder.replace("flows", "flow_memory"): functools.partial(flow_memory, folder) for folder in MEMORY_FOLDERS}
