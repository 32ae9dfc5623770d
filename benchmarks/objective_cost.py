"""The cost of an objective: training steps of one IAF-VAE with each, interleaved in one process.

    python -m benchmarks.objective_cost --out=benchmarks/results/objective_cost

The set-ups are those of `benchmarks.step_cost`. A step of "sticking_the_landing" is compared with one of "elbo", a step of
"doubly_reparameterized" with one of "importance_weighted" of as many samples.
"""

import pathlib

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import tfp_iaf
from benchmarks import step_cost
from examples import json_files
from examples.provenance import provenance

FLAGS = flags.FLAGS
FLAGS.set_default("out", "runs/objective_cost")
flags.DEFINE_integer("num_samples", 5, "Samples of the importance-weighted bounds.", lower_bound=1)
flags.DEFINE_integer("batch_size", 128, "Batch size.", lower_bound=1)

# Which objective each is compared with.
BASELINES = {
    "elbo": "elbo",
    "sticking_the_landing": "elbo",
    "importance_weighted": "importance_weighted",
    "doubly_reparameterized": "importance_weighted",
}
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
    return step_cost.interleaved(case, lambda name, jit_compile: trainer(case, name, jit_compile), BASELINES, "ratio")


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
        json_files.write(out / f"{case}.json", results)


if __name__ == "__main__":
    app.run(main)
