"""This checkout's flows beside those of an earlier checkout, in turns on one machine.

    python -m benchmarks.before_after --before=PATH_OF_THE_EARLIER_CHECKOUT --cases=D64,D256

Prints, and writes to a JSON file per case: after / before as the median of the rounds' ratios (a busy moment of the machine
hits both of a round), milliseconds of both, and the ratio of the first calls, which trace and compile.
"""

import os
import pathlib
import statistics
import subprocess
import sys

from absl import app, flags

from benchmarks import flows
from benchmarks.contenders import tf_timing
from benchmarks.flow_cases import CASES, QUANTITIES, SKIPPED
from examples import json_files
from examples.provenance import provenance

FLAGS = flags.FLAGS
flags.DEFINE_string("before", None, "Folder of the earlier checkout.", required=True)
flags.DEFINE_list("modes", list(tf_timing.MODES), f"Modes of execution: {', '.join(tf_timing.MODES)}.")
FLAGS.set_default("out", "runs/before_after")


def contenders(case_name):
    """(name, python, module) of both checkouts in each mode."""
    skipped = SKIPPED.get(case_name.split()[0], ())
    names = [name for name in (f"tfp_iaf {mode}" for mode in FLAGS.modes) if name not in skipped]
    return [
        entry for name in names for entry in ((f"before: {name}", sys.executable, "before"), (name, sys.executable, "ours"))
    ]


def compare(rows, rounds, mode, quantity):
    """The figures of one mode and quantity."""
    before, after = f"before: tfp_iaf {mode}", f"tfp_iaf {mode}"
    ratios = [new / old for new, old in zip(rounds[after][quantity], rounds[before][quantity])]
    first = [rows[name]["first_call_seconds"][quantity] for name in (before, after)]
    return {
        "before_ms": statistics.median(rounds[before][quantity]),
        "after_ms": statistics.median(rounds[after][quantity]),
        "ratio": statistics.median(ratios),
        "lowest_ratio": min(ratios),
        "highest_ratio": max(ratios),
        "first_call_before_s": first[0],
        "first_call_after_s": first[1],
        "first_call_ratio": first[1] / first[0],
    }


def commit(folder):
    answer = subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True)
    return answer.stdout.strip() or None


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    if not (pathlib.Path(FLAGS.before) / "benchmarks" / "contenders" / "ours.py").exists():
        raise app.UsageError(f"--before={FLAGS.before} holds no benchmarks/contenders/ours.py: give the folder of a checkout.")
    os.environ["TFP_IAF_BEFORE"] = str(pathlib.Path(FLAGS.before).resolve())
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    for case_name in FLAGS.cases:
        print(f"{case_name}: {CASES[case_name]}", flush=True)
        rows, rounds = flows.run_case(case_name, contenders(case_name))
        results = {
            mode: {quantity: compare(rows, rounds, mode, quantity) for quantity in QUANTITIES}
            for mode in FLAGS.modes
            if {f"tfp_iaf {mode}", f"before: tfp_iaf {mode}"} <= set(rounds)
        }
        for mode, quantities in results.items():
            for quantity, row in quantities.items():
                times = f"{row['before_ms']:8.2f} -> {row['after_ms']:8.2f} ms, ratio {row['ratio']:.2f}"
                print(f"  {mode:5} {quantity:13} {times}, first call {row['first_call_ratio']:.2f}", flush=True)
        case = {"name": case_name, **vars(CASES[case_name])}
        result = {"case": case, "before_commit": commit(FLAGS.before), "results": results, "contenders": rows, **provenance()}
        json_files.write(out / f"{case_name.replace(' ', '_')}.json", result)


if __name__ == "__main__":
    app.run(main)
