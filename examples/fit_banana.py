"""Fits a banana-shaped density on the plane with three posteriors, and draws them side by side.

The target is p(z1, z2) = N(z1; 0, 1) N(z2; z1 + z1^2 / 2 - 1/2, 0.4^2). Each posterior is trained on the reverse KL, the gap
that a VAE leaves between its bound and log p(x): a diagonal Gaussian can neither tilt nor bend, a full covariance can tilt,
an IAF can do both.

    python examples/fit_banana.py --out=banana.png
"""

# ruff: noqa: E402

import math
import pathlib
import sys

import command_line
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/banana.png", "Picture to write; the figures go beside it as .json.")
flags.DEFINE_integer("steps", 2000, "Optimizer steps of each posterior.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Seed of weights and noise.", lower_bound=0)
flags.DEFINE_bool("smoke", False, "A run of seconds.")

if __name__ == "__main__":
    command_line.parse()

import keras
import matplotlib

matplotlib.use("Agg")

import json_files
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from provenance import provenance

import tfp_iaf

WIDTH = 0.4


def log_target(z):
    """log p of the banana, normalized, `[..., 2]` -> `[...]`."""
    bend = (z[..., 1] - (z[..., 0] + 0.5 * tf.square(z[..., 0]) - 0.5)) / WIDTH
    return -0.5 * (tf.square(z[..., 0]) + tf.square(bend)) - math.log(2.0 * math.pi * WIDTH)


class KLToTarget(keras.Model):
    """E_q [log q(z) - log p(z)], for one posterior without anything to condition on."""

    def __init__(self, posterior):
        super().__init__()
        self.posterior = posterior

    def call(self, features):
        z, log_q = self.posterior(features)
        return log_q - log_target(z)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return tf.reduce_mean(y_pred)


def fit(posterior):
    """Trains the posterior; returns it with its KL in nats and the standard error."""
    model = KLToTarget(posterior)
    features = np.ones([256, 1], np.float32)
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, FLAGS.steps)
    model.compile(keras.optimizers.Adam(schedule), jit_compile=not FLAGS.smoke)
    data = tf.data.Dataset.from_tensors(features).repeat()
    verbose = "auto" if sys.stdout.isatty() else 0
    model.fit(data, steps_per_epoch=FLAGS.steps, shuffle=False, verbose=verbose)
    return tfp_iaf.evaluation.mean_and_standard_error(model(np.ones([20000, 1], np.float32)))


def density(posterior, grid):
    """q(z) on a grid `[N, N, 2]`."""
    rows = tf.reshape(tf.cast(grid, tf.float32), [-1, 1, 2])
    return np.exp(posterior.log_prob(np.ones([1, 1], np.float32), rows)).reshape(grid.shape[:2])


def main(_):
    if FLAGS.smoke:
        FLAGS.steps = 20
    out = pathlib.Path(FLAGS.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    grid = np.stack(np.meshgrid(np.linspace(-3.2, 3.2, 240), np.linspace(-3.0, 6.0, 300)), axis=-1)
    panels = {"target": np.exp(log_target(tf.constant(grid)))}
    figures = {}
    for name, layer in {
        "diagonal": lambda: tfp_iaf.DiagonalGaussian(2, seed=FLAGS.seed),
        "full covariance": lambda: tfp_iaf.FullCovariance(2, seed=FLAGS.seed),
        "IAF": lambda: tfp_iaf.IAF(2, num_flows=4, hidden_units=(32, 32), seed=FLAGS.seed),
    }.items():
        keras.utils.set_random_seed(FLAGS.seed)
        posterior = layer()
        kl, error = fit(posterior)
        figures[name] = {"kl": kl, "standard_error": error}
        panels[f"{name}: KL = {kl:.3f} nats"] = density(posterior, grid)
        print(f"{name:>16}: KL(q || p) = {kl:.3f} ± {error:.3f} nats")
    figure, axes = plt.subplots(1, len(panels), figsize=(3.0 * len(panels), 3.6), sharey=True, layout="constrained")
    highest = panels["target"].max()
    for axis, (title, values) in zip(axes, panels.items()):
        axis.contourf(
            grid[..., 0], grid[..., 1], values, levels=np.linspace(0.01, highest * 1.3, 12), cmap="viridis", extend="max"
        )
        axis.contour(grid[..., 0], grid[..., 1], panels["target"], levels=[0.05 * highest], colors="k", linewidths=0.7)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("$z_1$")
    axes[0].set_ylabel("$z_2$")
    figure.savefig(out, dpi=150)
    json_files.write(out.with_suffix(".json"), {"kl": figures, "seed": FLAGS.seed, **provenance()})
    print(f"Wrote {out}.")


if __name__ == "__main__":
    app.run(main)
