"""The cost of a flow: training steps of the small-MLP VAE with each posterior, interleaved in one process.

    python -m benchmarks.step_cost --out=benchmarks/results/step_cost.json

Every round trains each posterior for a number of steps in turn, so that a busy moment of the machine hits all; figures are
medians over the rounds, and ratios are medians of the rounds' ratios.
"""

import json
import pathlib
import statistics
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import tfp_iaf
from examples.provenance import provenance

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/step_cost.json", "JSON to write.")
flags.DEFINE_integer("rounds", 15, "Rounds.", lower_bound=1)
flags.DEFINE_integer("steps", 200, "Steps of each posterior a round.", lower_bound=1)

LATENT_SIZE, BATCH_SIZE, WIDTHS = 128, 128, (256, 256)
POSTERIORS = {
    "diagonal": lambda: tfp_iaf.DiagonalGaussian(LATENT_SIZE),
    "full_covariance": lambda: tfp_iaf.FullCovariance(LATENT_SIZE),
    "iaf": lambda: tfp_iaf.IAF(LATENT_SIZE, num_steps=2, hidden_units=WIDTHS, bijector_fn="gated", activation="relu"),
}


def make_model(posterior):
    dense = [keras.layers.Dense(width, "relu") for width in (*WIDTHS, *WIDTHS)]
    return tfp_iaf.VAE(
        keras.Sequential([keras.layers.Flatten(), *dense[:2]]),
        posterior(),
        keras.Sequential([*dense[2:], keras.layers.Dense(784), keras.layers.Reshape((28, 28))]),
    )


def trainer(posterior, jit_compile):
    """A function that trains for FLAGS.steps steps, compiled by a first call."""
    model = make_model(posterior)
    model.compile(keras.optimizers.RMSprop(1e-3, rho=0.99, centered=True), jit_compile=jit_compile)
    images = (np.random.default_rng(0).random([BATCH_SIZE, 28, 28]) < 0.2).astype(np.uint8)
    data = tf.data.Dataset.from_tensors(images).repeat()

    def train():
        model.fit(data, steps_per_epoch=FLAGS.steps, verbose=0)

    train()
    return train


def timed(function):
    start = time.perf_counter()
    function()
    return 1000.0 * (time.perf_counter() - start) / FLAGS.steps


def main(argv):
    del argv
    results = {}
    for mode, jit_compile in {"xla": True, "graph": False}.items():
        trainers = {name: trainer(posterior, jit_compile) for name, posterior in POSTERIORS.items()}
        rounds = []
        for _ in range(FLAGS.rounds):
            rounds.append({name: timed(train) for name, train in trainers.items()})
        results[mode] = {
            name: {
                "ms_per_step": statistics.median(row[name] for row in rounds),
                "ratio_to_diagonal": statistics.median(row[name] / row["diagonal"] for row in rounds),
            }
            for name in POSTERIORS
        }
        print(mode, json.dumps(results[mode], indent=1))
    case = {
        "latent_size": LATENT_SIZE,
        "batch_size": BATCH_SIZE,
        "widths": WIDTHS,
        "rounds": FLAGS.rounds,
        "steps": FLAGS.steps,
    }
    out = pathlib.Path(FLAGS.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"case": case, "results": results, **provenance()}, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
