"""Looks into the latent space of a VAE of digits with two latents: what it holds, and where a half-seen digit lies in it.

    python examples/latent_space.py --logdir=runs/latent_space

traversal.png shows the plane of latents: E[x given z] at the quantiles of the prior. posteriors.png shows a digit of which only
the upper half is seen, and which may go on in more than one way: contours of its true posterior p(z given upper half), which
can be computed on a grid of two latents, and of the best diagonal, full-covariance and IAF posterior. Each stands with its KL
divergence to the true one, which is what the bound on the log-likelihood loses, and with digits drawn from it.
"""

# ruff: noqa: E402

import pathlib

import command_line
from absl import app, flags, logging

FLAGS = flags.FLAGS
flags.DEFINE_integer("epochs", 150, "Passes over the training data.", lower_bound=1)
flags.DEFINE_integer("candidates", 250, "Digits of which the one with the least Gaussian posterior is chosen.", lower_bound=1)
flags.DEFINE_integer("num_flows", 4, "Flows of the IAF posterior of the chosen digit.", lower_bound=1)
flags.DEFINE_integer("fit_steps", 1500, "Optimizer steps of each posterior of the chosen digit.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Seed of weights, noise and data order.", lower_bound=0)
flags.DEFINE_string("logdir", "runs/latent_space", "Folder of the results.")
flags.DEFINE_bool("smoke", False, "A run of seconds.")

if __name__ == "__main__":
    command_line.parse()

import datasets
import keras
import matplotlib

matplotlib.use("Agg")

import json_files
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import vae_plots
from progress import Progress
from provenance import provenance

import tfp_iaf
from tfp_iaf import vi

# Of the grid of latents.
HALF_WIDTH, POINTS = 4.0, 101
CELL = (2.0 * HALF_WIDTH / (POINTS - 1)) ** 2
# Rows of pixels that are seen.
HALF = 4
BATCH_SIZE = 64
DRAWN = 25


def make_model(steps):
    """A small VAE with two latents and an IAF posterior."""
    model = tfp_iaf.VAE(
        encoder=keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(128, "elu"), keras.layers.Dense(128, "elu")]),
        posterior=tfp_iaf.IAF(2, num_flows=1 if FLAGS.smoke else 3, hidden_units=(64, 64), seed=FLAGS.seed),
        decoder=keras.Sequential(
            [
                keras.layers.Dense(128, "elu"),
                keras.layers.Dense(128, "elu"),
                keras.layers.Dense(64),
                keras.layers.Reshape((8, 8)),
            ]
        ),
    )
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    model.compile(keras.optimizers.Adam(schedule), jit_compile=not FLAGS.smoke)
    return model


def log_joint(model, x):
    """log p(upper half of x, z) as a function of z `[..., 2]`."""
    seen = tf.constant(x[:HALF], tf.float32)
    prior = tfp.distributions.MultivariateNormalDiag(tf.zeros([2]))

    def function(z):
        logits = model.decode(tf.reshape(z, [-1, 2]))[:, :HALF]
        log_p = model.likelihood.distribution(logits).log_prob(seen)
        return tf.reshape(log_p, tf.shape(z)[:-1]) + prior.log_prob(z)

    return function


def grid():
    line = np.linspace(-HALF_WIDTH, HALF_WIDTH, POINTS, dtype=np.float32)
    return np.stack(np.meshgrid(line, line), axis=-1)


def true_posterior(model, x, z):
    """(log p(z given the upper half) on the grid z, log p(upper half)), from sums over the grid."""
    log_p = log_joint(model, x)(tf.constant(z)).numpy().astype(np.float64)
    log_evidence = float(np.logaddexp.reduce(log_p, axis=None) + np.log(CELL))
    return log_p - log_evidence, log_evidence


def negentropy(log_p, z):
    """By how much the entropy of a density on the grid z falls short of that of the Gaussian with its covariance, in nats."""
    share = np.exp(log_p) * CELL
    deviation = z - np.einsum("ij,ija->a", share, z)
    covariance = np.einsum("ij,ija,ijb->ab", share, deviation, deviation)
    return 0.5 * np.log(np.linalg.det(2.0 * np.pi * np.e * covariance)) + (share * log_p).sum()


def fit_posteriors(model, x, log_evidence):
    """{name: (a distribution, its KL divergence to the true posterior)}."""
    target = log_joint(model, x)
    layers = {
        "diagonal": tfp_iaf.DiagonalGaussian(2, seed=FLAGS.seed),
        "full covariance": tfp_iaf.FullCovariance(2, seed=FLAGS.seed),
        "IAF": tfp_iaf.IAF(2, FLAGS.num_flows, hidden_units=(64, 64), context_size=0, bijector_fn="monotone", seed=FLAGS.seed),
    }
    found = {}
    for name, layer in layers.items():
        q = vi.without_features(layer)
        vi.fit(
            target,
            q,
            FLAGS.fit_steps,
            sample_size=128,
            annealing_steps=FLAGS.fit_steps // 2,
            seed=FLAGS.seed,
            jit_compile=not FLAGS.smoke,
        )
        z, log_q = q.experimental_sample_and_log_prob(20000, seed=[FLAGS.seed, 1])
        found[name] = q, log_evidence - float(tf.reduce_mean(target(z) - log_q))
        print(f"{name:>16}: KL = {found[name][1]:.3f} nats")
    return found


def plot_posteriors(model, x, z, log_p, found, path):
    """One column for the digit and for each posterior: its contours, and digits drawn from it."""
    true = np.exp(log_p)
    rng = np.random.default_rng(FLAGS.seed)
    chosen = rng.choice(true.size, DRAWN, p=true.ravel() / true.sum())
    columns = {"p(z given upper half)": (true, z.reshape([-1, 2])[chosen])}
    for name, (q, kl) in found.items():
        columns[f"{name}: KL = {kl:.2f} nats"] = np.exp(q.log_prob(z)), q.sample(DRAWN, seed=[FLAGS.seed, 2])
    figure, axes = plt.subplots(2, 1 + len(columns), figsize=(3.0 * (1 + len(columns)), 6.2), layout="constrained")
    seen = np.where(np.arange(len(x))[:, np.newaxis] < HALF, x, 0.3)
    for axis, image, title in zip(axes[:, 0], (seen, x), ("what is seen", "the whole digit")):
        axis.imshow(image, cmap="gray_r", vmin=0.0, vmax=1.0, interpolation="nearest")
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    limit = min(HALF_WIDTH, 1.2 * np.abs(z[true > 0.02 * true.max()]).max())
    for (above, below), (title, (density, drawn)) in zip(axes.T[1:], columns.items()):
        levels = np.linspace(0.02, 1.3, 14) * true.max()
        above.contourf(z[..., 0], z[..., 1], density, levels=levels, cmap="viridis", extend="max")
        above.contour(z[..., 0], z[..., 1], true, levels=[0.1 * true.max()], colors="k", linewidths=0.7)
        above.set(xlim=(-limit, limit), ylim=(-limit, limit), xlabel="$z_1$", aspect="equal")
        above.set_title(title, fontsize=10)
        vae_plots.draw_grid(below, model.mean(tf.constant(drawn)), "drawn from it")
    axes[0, 1].set_ylabel("$z_2$")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def traversal(model, size):
    """E[x given z] at `size` x `size` quantiles of the prior, the first latent from left to right."""
    quantiles = tfp.distributions.Normal(0.0, 1.0).quantile(np.linspace(0.02, 0.98, size, dtype=np.float32)).numpy()
    z = np.stack(np.meshgrid(quantiles, quantiles[::-1]), axis=-1).reshape([-1, 2])
    return model.mean(tf.constant(z))


def main(_):
    logging.set_verbosity(logging.ERROR)
    if FLAGS.smoke:
        FLAGS.epochs, FLAGS.candidates, FLAGS.num_flows, FLAGS.fit_steps = 2, 2, 1, 20
    logdir = pathlib.Path(FLAGS.logdir)
    logdir.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(FLAGS.seed)
    splits = datasets.load("digits")
    steps_per_epoch = len(splits["x_train"]) // BATCH_SIZE
    model = make_model(FLAGS.epochs * steps_per_epoch)
    model.fit(
        datasets.batches(splits["x_train"], BATCH_SIZE, FLAGS.seed),
        steps_per_epoch=steps_per_epoch,
        epochs=FLAGS.epochs,
        validation_data=splits["x_valid"],
        validation_batch_size=250,
        callbacks=[Progress("elbo", "val_elbo")],
        verbose=0,
    )
    vae_plots.plot_images([traversal(model, 16)], ["E[x given z] over the plane of z"], logdir / "traversal.png")
    z = grid()
    candidates = splits["x_test"][: FLAGS.candidates]
    x = max(candidates, key=lambda x: negentropy(true_posterior(model, x, z)[0], z))
    log_p, log_evidence = true_posterior(model, x, z)
    found = fit_posteriors(model, x, log_evidence)
    plot_posteriors(model, x, z, log_p, found, logdir / "posteriors.png")
    figures = {"log_evidence": log_evidence, "kl": {name: kl for name, (_, kl) in found.items()}, "seed": FLAGS.seed}
    json_files.write(logdir / "figures.json", {**figures, **provenance()})
    print(f"Wrote {logdir}/traversal.png and {logdir}/posteriors.png.")


if __name__ == "__main__":
    app.run(main)
