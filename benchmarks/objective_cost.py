"""The cost of an objective: training steps of one IAF-VAE with each, interleaved in one process.

    python -m benchmarks.objective_cost --out=benchmarks/results/objective_cost

The set-ups are those of `benchmarks.step_cost`. A step of "sticking_the_landing" is compared with one of "elbo", a step of
"doubly_reparameterized" with one of "importance_weighted" of as many samples.
"""

import json
import math
import pathlib
import statistics

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import tfp_iaf
from benchmarks import step_cost
from examples.provenance import provenance

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_samples", 5, "Samples of the importance-weighted bounds.", lower_bound=1)
flags.DEFINE_integer("batch_size", 128, "Batch size.", lower_bound=1)

# Which objective each is compared with.
BASELINES = {"sticking_the_landing": "elbo", "doubly_reparameterized": "importance_weighted"}
CASES = ("small_mlp", "mnist_resnet")


def trainer(case, objective, jit_compile):
    """A function of a number of steps that trains for them and returns milliseconds per step; compiled by a first call."""
    parts = step_cost.CASES[case][0]("iaf")
    is_weighted = objective in ("importance_weighted", "doubly_reparameterized")
    num_samples = FLAGS.num_samples if is_weighted else 1
    model = tfp_iaf.VAE(parts.encoder, parts.posterior, parts.decoder, objective=objective, num_samples=num_samples)
    model.compile(keras.optimizers.Adamax(2e-3), jit_compile=jit_compile)
    batch = np.random.default_rng(0).integers(0, 2, size=(FLAGS.batch_size, 28, 28), dtype=np.uint8)
    return step_cost.trainer_of(model, tf.data.Dataset.from_tensors(batch).repeat())


def measure(case):
    """Mode -> objective -> figures."""
    results = {}
    for mode, jit_compile in {"graph": False, "xla": True}.items():
        names = [*BASELINES.values(), *BASELINES]
        trainers = {name: trainer(case, name, jit_compile) for name in names}
        steps = math.ceil(1000.0 * FLAGS.seconds / trainers["elbo"](3))
        rounds = [{name: train(steps) for name, train in trainers.items()} for _ in range(FLAGS.rounds)]
        results[mode] = {
            name: {
                "ms_per_step": statistics.median(row[name] for row in rounds),
                "ratio": statistics.median(row[name] / row[BASELINES.get(name, name)] for row in rounds),
            }
            for name in names
        }
        print(case, mode, f"{steps} steps per round", json.dumps(results[mode], indent=1), flush=True)
    return results


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    for case in FLAGS.case:
        if case not in CASES:
            continue
        origin = provenance()
        settings = {"name": case, "batch_size": FLAGS.batch_size, "num_samples": FLAGS.num_samples, "rounds": FLAGS.rounds}
        results = {"case": settings, "results": measure(case), **origin}
        (out / f"{case}.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
