"""The cost of a flow: training steps of one VAE with each posterior, interleaved in one process.

    python -m benchmarks.step_cost --case=small_mlp --out=benchmarks/results/step_cost

The cases are the published small MLP, the ResNet VAE of `examples/train_image_vae.py --preset=mnist-resnet`, and its
hierarchical VAE, `--preset=cifar-small`, with both kinds of inference. One JSON file per case is written.

Every round trains each posterior for a number of steps in turn, so that a busy moment of the machine hits all; figures are
medians over the rounds, and ratios are medians of the rounds' ratios.
"""

import functools
import json
import math
import pathlib
import statistics
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import tfp_iaf
from examples import json_files
from examples.provenance import provenance
from tfp_iaf import layers, models

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/step_cost", "Folder of the JSON files.")
flags.DEFINE_integer("rounds", 15, "Rounds.", lower_bound=1)
flags.DEFINE_float("seconds", 1.0, "Length of a measurement, about.", lower_bound=0.01)


def small_mlp(posterior):
    q = {
        "diagonal": lambda: tfp_iaf.DiagonalGaussian(128),
        "full_covariance": lambda: tfp_iaf.FullCovariance(128),
        "iaf": lambda: tfp_iaf.IAF(128, num_flows=2, hidden_units=(256, 256), bijector_fn="gated", activation="relu"),
    }[posterior]()
    dense = [keras.layers.Dense(256, "relu") for _ in range(4)]
    return tfp_iaf.VAE(
        keras.Sequential([keras.layers.Flatten(), *dense[:2]]),
        q,
        keras.Sequential([*dense[2:], keras.layers.Dense(784), keras.layers.Reshape((28, 28))]),
    )


def mnist_resnet(posterior):
    q = {
        "diagonal": lambda: tfp_iaf.DiagonalGaussian(32),
        "full_covariance": lambda: tfp_iaf.FullCovariance(32),
        "iaf": lambda: tfp_iaf.IAF(32, num_flows=2, hidden_units=(320, 320)),
    }[posterior]()
    return tfp_iaf.VAE(layers.mnist_encoder(), q, layers.mnist_decoder())


def cifar_small(posterior, inference):
    return models.HierarchicalVAE(
        (32, 32, 3),
        num_layers=(3,),
        filters=32,
        latent_channels=16,
        patch_size=4,
        inference=inference,
        posterior=posterior,
        free_bits=0.1,
    )


VECTOR_POSTERIORS = ("diagonal", "full_covariance", "iaf")
MAP_POSTERIORS = ("diagonal", "linear", "iaf")
# The model of a posterior, the posteriors, the shape of a batch, and its largest level.
CASES = {
    "small_mlp": (small_mlp, VECTOR_POSTERIORS, (128, 28, 28), 1),
    "mnist_resnet": (mnist_resnet, VECTOR_POSTERIORS, (128, 28, 28), 1),
    "cifar_small_bidirectional": (
        functools.partial(cifar_small, inference="bidirectional"),
        MAP_POSTERIORS,
        (32, 32, 32, 3),
        255,
    ),
    "cifar_small_bottom_up": (functools.partial(cifar_small, inference="bottom-up"), MAP_POSTERIORS, (32, 32, 32, 3), 255),
}
flags.DEFINE_list("case", list(CASES), f"Cases, any of {', '.join(CASES)}.")
flags.register_validator("case", lambda names: set(names) <= set(CASES), message=f"expected any of {', '.join(CASES)}")


def trainer(case, posterior, jit_compile):
    """A function of a number of steps that trains for them and returns milliseconds per step; compiled by a first call."""
    make_model, _, shape, largest = CASES[case]
    model = make_model(posterior)
    model.compile(keras.optimizers.Adamax(2e-3), jit_compile=jit_compile)
    batch = np.random.default_rng(0).integers(0, largest + 1, size=shape, dtype=np.uint8)
    return trainer_of(model, tf.data.Dataset.from_tensors(batch).repeat())


def trainer_of(model, data):
    """As `trainer`, of a compiled model and its data, a `tf.data.Dataset` that does not end."""
    model.fit(data, steps_per_epoch=1, verbose=0)
    # Not by `fit` below: when it ends, tf.data waits until a thread of its own wakes, up to a second later.
    iterator = iter(data)

    def train(steps):
        start = time.perf_counter()
        for _ in range(steps):
            logs = model.train_function(iterator)
        float(logs["loss"])
        return 1000.0 * (time.perf_counter() - start) / steps

    train(3)
    return train


def interleaved(case, make_trainer, baselines, ratio):
    """Mode -> name -> figures of trainers that take turns.

    Args:
        case: how the output calls the case.
        make_trainer: a function (name, jit_compile) -> trainer.
        baselines: for each name, the one that it is compared with.
        ratio: what the figure is called that compares them.
    """
    results = {}
    for mode, jit_compile in {"graph": False, "xla": True}.items():
        trainers = {name: make_trainer(name, jit_compile) for name in baselines}
        steps = math.ceil(1000.0 * FLAGS.seconds / next(iter(trainers.values()))(10))
        rounds = [{name: train(steps) for name, train in trainers.items()} for _ in range(FLAGS.rounds)]
        results[mode] = {
            name: {
                "ms_per_step": statistics.median(row[name] for row in rounds),
                ratio: statistics.median(row[name] / row[baseline] for row in rounds),
            }
            for name, baseline in baselines.items()
        }
        print(case, mode, f"{steps} steps per round", json.dumps(results[mode], indent=1), flush=True)
    return results


def measure(case):
    """Mode -> posterior -> figures."""
    baselines = dict.fromkeys(CASES[case][1], "diagonal")
    return interleaved(case, lambda name, jit_compile: trainer(case, name, jit_compile), baselines, "ratio_to_diagonal")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    for case in FLAGS.case:
        origin = provenance()
        settings = {"name": case, "batch_shape": CASES[case][2], "rounds": FLAGS.rounds, "seconds": FLAGS.seconds}
        results = {"case": settings, "results": measure(case), **origin}
        json_files.write(out / f"{case}.json", results)


if __name__ == "__main__":
    app.run(main)
