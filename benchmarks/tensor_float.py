"""What TF32, TensorFlow's default for products on a GPU, costs in accuracy and gains in time.

    python -m benchmarks.tensor_float

TF32 keeps 10 of the 23 bits of float32 factors. For the cases of `benchmarks/flows.py` this measures log q of samples beside
log q of the same latents by the inverse, and the times, with TF32 and without.
"""

import json
import pathlib
import statistics

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks.contenders import ours
from benchmarks.flow_cases import CASES, QUANTITIES
from benchmarks.flow_worker import timed
from examples import json_files
from examples.provenance import provenance

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/tensor_float.json", "The result file.")
flags.DEFINE_list("cases", ["D64", "D256", "paper"], "Cases of the flow benchmark.")
flags.DEFINE_integer("rounds", 5, "Rounds.", lower_bound=1)
flags.DEFINE_float("seconds", 0.1, "Shortest measurement of a round.", lower_bound=0.0)


def measure(case):
    """Name of the setting -> its figures."""
    made = {}
    for name, enabled in {"tf32": True, "float32": False}.items():
        tf.config.experimental.enable_tensor_float_32_execution(enabled)
        flow = ours.make(case)
        for function in flow.quantities.values():
            function()  # Compiles it with the setting of now.
        sampled, inverted = flow.round_trip()
        difference = np.abs(sampled - inverted)
        made[name] = flow, {"largest_difference": float(difference.max()), "median_difference": float(np.median(difference))}
    samples = {name: {quantity: [] for quantity in QUANTITIES} for name in made}
    for _ in range(FLAGS.rounds):
        for name, (flow, _) in made.items():
            for quantity in QUANTITIES:
                samples[name][quantity].append(timed(flow.quantities[quantity], FLAGS.seconds))
    return {
        name: {
            **differences,
            "milliseconds": {quantity: statistics.median(values) for quantity, values in samples[name].items()},
        }
        for name, (_, differences) in made.items()
    }


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    results = {}
    for name in FLAGS.cases:
        results[name] = measure(CASES[name])
        print(name, json.dumps(results[name]), flush=True)
    path = pathlib.Path(FLAGS.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    json_files.write(path, {"results": results, "rounds": FLAGS.rounds, **provenance()})


if __name__ == "__main__":
    app.run(main)
