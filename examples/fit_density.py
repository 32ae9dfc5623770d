"""Estimates a density by maximum likelihood, with masked autoregressive flows.

`tfp_iaf.bijectors.MaskedAutoregressiveFlow` (Papamakarios et al. 2017) evaluates the density of data in parallel, where an
inverse autoregressive flow draws samples in parallel. It stands in for `tfb.MaskedAutoregressiveFlow`, which does not see the
weights of Keras 3 networks. Here: the two moons, each a class that the flow is conditioned on.

    python examples/fit_density.py --out=density.png
"""

# ruff: noqa: E402

import pathlib

import command_line
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/density.png", "Picture to write; the figures go beside it as .json.")
flags.DEFINE_integer("epochs", 60, "Passes over the data.", lower_bound=1)
flags.DEFINE_integer("num_flows", 4, "Masked autoregressive flows.", lower_bound=1)
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
import tensorflow as tf
import tensorflow_probability as tfp
from progress import Progress
from provenance import provenance
from sklearn.datasets import make_moons

import tfp_iaf

tfd = tfp.distributions

NUM_CLASSES = 2


class ConditionalMAF(keras.Model):
    """log p(x | class) of a chain of masked autoregressive flows."""

    def __init__(self, num_flows):
        super().__init__()
        self.networks = [
            tfp_iaf.AutoregressiveNetwork(2, 2, (64, 64), context_size=NUM_CLASSES, activation="tanh") for _ in range(num_flows)
        ]
        for network in self.networks:
            network.build((None, 2))

    def distribution(self, context):
        """p(x | class) for classes one-hot in `context`."""
        flows = []
        for network in self.networks:
            flows += [tfp_iaf.bijectors.MaskedAutoregressiveFlow(network, context=context), tfp_iaf.ReverseOrder()]
        base = tfd.MultivariateNormalDiag(tf.zeros([2]))
        return tfd.TransformedDistribution(base, tfp.bijectors.Chain(flows))

    def call(self, inputs):
        x, labels = inputs
        return self.distribution(keras.ops.one_hot(labels, NUM_CLASSES)).log_prob(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return -tf.reduce_mean(y_pred)


def moons(seed):
    x, labels = make_moons(2000, noise=0.08, random_state=seed)
    return x.astype(np.float32), labels.astype(np.int32)


def main(_):
    if FLAGS.smoke:
        FLAGS.epochs = 2
    out = pathlib.Path(FLAGS.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(FLAGS.seed)
    data, test = moons(FLAGS.seed), moons(FLAGS.seed + 1)
    model = ConditionalMAF(FLAGS.num_flows)
    model.compile(keras.optimizers.Adam(2e-3), jit_compile=not FLAGS.smoke)
    # Whole batches: another size would compile another step.
    batches = tf.data.Dataset.from_tensor_slices(data).shuffle(2000, seed=FLAGS.seed).batch(100).map(lambda *both: (both,))
    model.fit(batches, epochs=FLAGS.epochs, shuffle=False, callbacks=[Progress("loss")], verbose=0)
    log_likelihood, error = tfp_iaf.evaluation.mean_and_standard_error(model(test))
    print(f"Test log p(x | class): {log_likelihood:.3f} ± {error:.3f} nats")

    grid = np.stack(np.meshgrid(np.linspace(-1.6, 2.6, 280), np.linspace(-1.1, 1.6, 200)), axis=-1).astype(np.float32)
    points = grid.reshape([-1, 2])
    figure, axes = plt.subplots(1, NUM_CLASSES, figsize=(10.0, 3.6), sharey=True, layout="constrained")
    for label, axis in enumerate(axes):
        density = np.exp(model((points, np.full(len(points), label)))).reshape(grid.shape[:2])
        axis.contourf(grid[..., 0], grid[..., 1], density, levels=20, cmap="viridis")
        axis.scatter(*test[0][test[1] == label][:200].T, s=3, color="white", alpha=0.6)
        axis.set_title(f"p(x | class {label}), and test points", fontsize=10)
        axis.set_xlabel("$x_1$")
    axes[0].set_ylabel("$x_2$")
    figure.savefig(out, dpi=150)
    figures = {"log_likelihood": log_likelihood, "standard_error": error, "epochs": FLAGS.epochs, "seed": FLAGS.seed}
    json_files.write(out.with_suffix(".json"), {**figures, **provenance()})
    print(f"Wrote {out}.")


if __name__ == "__main__":
    app.run(main)
