"""Regression with full densities: p(y given c) of two curved branches, fitted by maximum likelihood, beside the truth.

The density is known. With c uniform on [-1, 1] and two entries of y,

    y1 ~ N(c, 0.6^2)
    y2 ~ N(0.8 sin(2 y1) + 1.2 b, 0.35^2),   b = 1 with probability sigmoid(2 c), else -1

so y2 has two modes, each of which bends with y1; the weights of the modes and the place on the bend follow c. A regression on
the mean would predict a y between the branches, where there is none.

    python examples/fit_conditional_density.py --out=conditional_density.png

The figures beside the picture say how far the fitted density is from the true one: the difference of the mean log-likelihoods
of new data, which is an estimate of KL(p || model), and how many of the new data lie in the model's central 80 % intervals of
y1 and of y2.
"""

# ruff: noqa: E402

import math
import pathlib

import command_line
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/conditional_density.png", "Picture to write; the figures go beside it as .json.")
flags.DEFINE_integer("examples", 20000, "Training examples.", lower_bound=200)
flags.DEFINE_integer("epochs", 20, "Passes over them.", lower_bound=1)
flags.DEFINE_integer("num_flows", 3, "Flows of the density.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Seed of data, weights and batches.", lower_bound=0)
flags.DEFINE_bool("smoke", False, "A run of seconds.")

if __name__ == "__main__":
    command_line.parse()

import keras
import matplotlib

matplotlib.use("Agg")

import json_files
import matplotlib.pyplot as plt
import numpy as np
from progress import Progress
from provenance import provenance

import tfp_iaf

BATCH_SIZE = 200
PICTURED = (-0.8, 0.0, 0.8)


def draw(num_examples, rng):
    """(y `[N, 2]`, c `[N, 1]`) of the true density."""
    c = rng.uniform(-1.0, 1.0, num_examples)
    branch = np.where(rng.random(num_examples) < weight_of_upper(c), 1.0, -1.0)
    y1 = c + 0.6 * rng.normal(size=num_examples)
    y2 = 0.8 * np.sin(2.0 * y1) + 1.2 * branch + 0.35 * rng.normal(size=num_examples)
    return np.stack([y1, y2], axis=-1).astype(np.float32), c[:, np.newaxis].astype(np.float32)


def weight_of_upper(c):
    return 1.0 / (1.0 + np.exp(-2.0 * c))


def true_log_prob(y, c):
    """log p(y given c), `[N]`."""

    def normal(x, loc, scale):
        return -0.5 * ((x - loc) / scale) ** 2 - math.log(scale * math.sqrt(2.0 * math.pi))

    y1, y2, c = y[:, 0].astype(np.float64), y[:, 1].astype(np.float64), c[:, 0].astype(np.float64)
    bend = 0.8 * np.sin(2.0 * y1)
    upper = np.log(weight_of_upper(c)) + normal(y2, bend + 1.2, 0.35)
    lower = np.log(1.0 - weight_of_upper(c)) + normal(y2, bend - 1.2, 0.35)
    return normal(y1, c, 0.6) + np.logaddexp(upper, lower)


def make_model():
    """Spline maps, since two modes need a map that is steep in one place and flat in another."""
    return tfp_iaf.models.ConditionalDensity(
        encoder=keras.Sequential([keras.layers.Dense(64, "elu"), keras.layers.Dense(64, "elu")]),
        posterior=tfp_iaf.IAF(2, num_flows=FLAGS.num_flows, hidden_units=(64, 64), bijector_fn="spline", seed=FLAGS.seed),
    )


def coverage(model, y, c, num_samples):
    """The share of y's entries, by entry, inside the model's central 80 % interval at their c."""
    inside = []
    for rows in np.array_split(np.arange(len(y)), max(1, len(y) // 1000)):
        samples = model.sample(num_samples, seed=[FLAGS.seed, int(rows[0])], condition=c[rows])
        low, high = np.quantile(samples, [0.1, 0.9], axis=0)
        inside.append((y[rows] >= low) & (y[rows] <= high))
    return np.concatenate(inside).mean(axis=0)


def plot(model, path):
    """The true and the fitted density at a few values of c."""
    grid = np.stack(np.meshgrid(np.linspace(-2.8, 2.8, 160), np.linspace(-3.2, 3.2, 180)), axis=-1).astype(np.float32)
    points = grid.reshape([-1, 2])
    figure, axes = plt.subplots(2, len(PICTURED), figsize=(3.2 * len(PICTURED), 6.4), sharex=True, sharey=True)
    for column, c in enumerate(PICTURED):
        condition = np.full([len(points), 1], c, np.float32)
        rows = {"true": true_log_prob(points, condition), "fitted": np.asarray(model.log_prob(points, condition))}
        for axis, (name, log_prob) in zip(axes[:, column], rows.items()):
            axis.contourf(grid[..., 0], grid[..., 1], np.exp(log_prob).reshape(grid.shape[:2]), levels=20, cmap="viridis")
            axis.set_title(f"{name} p(y given c = {c})", fontsize=10)
        axes[-1, column].set_xlabel("$y_1$")
    axes[0, 0].set_ylabel("$y_2$")
    axes[1, 0].set_ylabel("$y_2$")
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def main(_):
    num_test, num_samples = 10000, 400
    if FLAGS.smoke:
        FLAGS.examples, FLAGS.epochs, FLAGS.num_flows, num_test, num_samples = 2000, 2, 1, 200, 50
    out = pathlib.Path(FLAGS.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(FLAGS.seed)
    rng = np.random.default_rng(FLAGS.seed)
    train, test = draw(FLAGS.examples, rng), draw(num_test, rng)
    model = make_model()
    steps = FLAGS.epochs * (FLAGS.examples // BATCH_SIZE)
    # Not with XLA: compiling the search for the inverse would take longer than the training.
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps)), jit_compile=False)
    # Whole batches: another size would compile another step.
    whole = FLAGS.examples // BATCH_SIZE * BATCH_SIZE
    model.fit(
        (train[0][:whole], train[1][:whole]),
        batch_size=BATCH_SIZE,
        epochs=FLAGS.epochs,
        callbacks=[Progress("log_likelihood")],
        verbose=0,
    )
    fitted, true = np.asarray(model.log_prob(*test), np.float64), true_log_prob(*test)
    difference, error = tfp_iaf.evaluation.mean_and_standard_error(true - fitted)
    covered = coverage(model, *test, num_samples)
    print(f"Log-likelihood of new data: {fitted.mean():.3f} nats; of the true density: {true.mean():.3f}")
    print(f"Difference: {difference:.3f} ± {error:.3f} nats")
    print(f"In the central 80 % intervals: {covered[0]:.1%} of y1, {covered[1]:.1%} of y2")
    plot(model, out)
    figures = {
        "log_likelihood": {"fitted": float(fitted.mean()), "true": float(true.mean())},
        "difference": {"mean": difference, "standard_error": error},
        "coverage_of_80_percent_intervals": {"y1": float(covered[0]), "y2": float(covered[1])},
        "examples": FLAGS.examples,
        "epochs": FLAGS.epochs,
        "seed": FLAGS.seed,
    }
    json_files.write(out.with_suffix(".json"), {**figures, **provenance()})
    print(f"Wrote {out}.")


if __name__ == "__main__":
    app.run(main)
