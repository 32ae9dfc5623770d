"""How the fit of each posterior grows with the dimension, on curved targets whose density is known.

    python -m benchmarks.dimension --out=benchmarks/results/dimension.json

The targets are those of `benchmarks/dimension_targets.py`. Each posterior is fitted by `vi.fit`; figures are both KL
divergences in nats per dimension, and the processor seconds of training. Each fit is kept in --workdir: a run that was stopped
goes on with those that it lacks.
"""

import json
import pathlib
import sys
import time

import keras
import numpy as np
from absl import app, flags, logging

from benchmarks.dimension_targets import FAMILIES, Tree
from examples.json_files import write
from examples.provenance import provenance
from tfp_iaf import evaluation, posteriors, vi

POSTERIORS = {
    "diagonal": posteriors.DiagonalGaussian,
    "full_covariance": posteriors.FullCovariance,
    "planar": lambda size: posteriors.PlanarFlow(size, num_flows=16),
    "iaf": lambda size: posteriors.IAF(size, num_flows=2, hidden_units=(4 * size, 4 * size)),
}

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/dimension.json", "Result file.")
flags.DEFINE_string("workdir", "runs/dimension", "Folder of the finished fits.")
flags.DEFINE_list("sizes", ["8", "32", "128", "256"], "Dimensions.")
flags.DEFINE_list("families", list(FAMILIES), "Families of targets.")
flags.DEFINE_list("posteriors", list(POSTERIORS), "Posteriors.")
flags.DEFINE_integer("steps", 3000, "Optimizer steps of each fit.", lower_bound=1)
flags.DEFINE_float("learning_rate", 3e-3, "Learning rate of Adam at the start; it falls to zero.", lower_bound=0.0)
flags.DEFINE_integer("draws", 10_000, "Draws that each divergence is estimated from.", lower_bound=1000)


def fit(family, name, size):
    """The figures of one fit."""
    keras.utils.set_random_seed(0)
    target = Tree(size, family)
    q = vi.without_features(POSTERIORS[name](size))
    start = time.process_time()
    vi.fit(target.log_prob, q, num_steps=FLAGS.steps, learning_rates=[FLAGS.learning_rate], seed=0, verbose=False)
    seconds = time.process_time() - start
    reverse, forward = [], []
    for k in range(FLAGS.draws // 1000):
        z, log_q = q.experimental_sample_and_log_prob(1000, seed=[1, k])
        reverse.append(log_q - target.log_prob(z))
        z = target.sample(1000, [2, k])
        forward.append(target.log_prob(z) - q.log_prob(z))
    figures = {"family": family, "posterior": name, "size": size, "seconds": seconds}
    for kind, values in (("q_to_p", reverse), ("p_to_q", forward)):
        mean, error = evaluation.mean_and_standard_error(np.concatenate(values) / size)
        figures[f"kl_per_dimension_{kind}"] = {"mean": mean, "standard_error": error}
    figures["parameters"] = sum(variable.shape.num_elements() for variable in q.trainable_variables)
    return figures


def main(_):
    logging.set_verbosity(logging.ERROR)  # TensorFlow takes several fits for retracing.
    workdir, out = pathlib.Path(FLAGS.workdir), pathlib.Path(FLAGS.out)
    workdir.mkdir(parents=True, exist_ok=True)
    settings = {"steps": FLAGS.steps, "learning_rate": FLAGS.learning_rate, "draws": FLAGS.draws}
    fits = []
    for size in map(int, FLAGS.sizes):
        for family in FLAGS.families:
            for name in FLAGS.posteriors:
                path = workdir / f"{family}-{name}-{size}.json"
                if not path.exists():
                    write(path, {**fit(family, name, size), "settings": settings})
                found = json.loads(path.read_text())
                if found["settings"] != settings:
                    sys.exit(f"dimension: {path} is of other settings: choose another --workdir.")
                fits.append(found)
                figure = found["kl_per_dimension_q_to_p"]
                print(f"{family}, D = {size}, {name}: {figure['mean']:.4f} nats per dimension", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    write(out, {"fits": fits, **provenance()})


if __name__ == "__main__":
    app.run(main)
