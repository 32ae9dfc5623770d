"""Trains VAEs whose posterior follows the gradient of log p(x, z): Hamiltonian variational inference (Salimans et al. 2015).

A latent drawn from a diagonal Gaussian is given a random momentum and moves along log p(x, z), as in Hamiltonian Monte Carlo.
The bound treats the momenta as further latents; a reverse model r guesses the last momentum from where the latent has come to:

    z_0 ~ q(z_0 | x);   in refreshment t:  v ~ q(v | x, z_{t-1}),  (z_t, v_t) = leapfrogs of (z_{t-1}, v)
    L = E[log p(x, z_T) + sum_t log r(v_t | x, z_t) - log q(z_0 | x) - sum_t log q(v | x, z_{t-1})] <= log p(x)

One leapfrog per refreshment is a Langevin flow; no leapfrogs leave the diagonal Gaussian.

    python examples/hamiltonian_vae.py --data=digits --leapfrog_steps=0,1,4,8

Each number of leapfrogs gets a folder below --logdir: metrics.json, model.keras, and saved_model/. A run that was stopped goes
on where it was when the same command is given again.
"""

# ruff: noqa: E402

import json
import pathlib
import sys

import command_line
from absl import app, flags, logging

FLAGS = flags.FLAGS
flags.DEFINE_string("data", "digits", "digits (embedded), mnist (downloaded), or the path of an .npz file of binary images.")
flags.DEFINE_list("leapfrog_steps", ["0", "1", "4", "8"], "Leapfrogs per refreshment of the models to train, in turn.")
flags.DEFINE_integer("refreshments", 1, "How often the momentum is drawn anew.", lower_bound=1)
flags.DEFINE_integer("latent_size", 16, "Size of z.", lower_bound=1)
flags.DEFINE_list("hidden_units", ["128"], "Widths of the encoder's hidden layers; the decoder mirrors them.")
flags.DEFINE_list("momentum_hidden_units", ["64"], "Widths of the hidden layers of the momenta's densities q and r.")
flags.DEFINE_float("learning_rate", 2e-3, "Learning rate of Adamax.", lower_bound=0.0)
flags.DEFINE_integer("batch_size", 128, "Examples per step.", lower_bound=1)
flags.DEFINE_integer("epochs", 300, "Passes over the training data.", lower_bound=1)
flags.DEFINE_integer("kl_warm_up_steps", 300, "Steps over which the weight of the KL term rises from 0 to 1.", lower_bound=0)
flags.DEFINE_bool("jit_compile", True, "Compile with XLA.")
flags.DEFINE_integer("importance_samples", 128, "Samples per example for log p(x).", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Seed of weights, noise and data order.", lower_bound=0)
flags.DEFINE_string("logdir", "runs/hamiltonian_vae", "Folder of the results.")
flags.DEFINE_bool("smoke", False, "A run of seconds: two epochs on a few digits.")
flags.register_validator("data", command_line.is_data, message=command_line.EXPECTED_DATA)
flags.register_validator(
    "leapfrog_steps",
    lambda values: bool(values) and all(value.isdigit() for value in values),
    message="expected numbers of leapfrogs, like 0,1,4,8",
)
for _name in ("hidden_units", "momentum_hidden_units"):
    flags.register_validator(_name, command_line.is_widths, message="expected positive integers, like 128,128")

if __name__ == "__main__":
    command_line.parse()  # The imports below take seconds.

import datasets
import keras
import numpy as np
import tensorflow as tf
import training
from provenance import provenance

from tfp_iaf import bijectors, models, noise, posteriors, priors

# What may change when a run is continued.
NOT_OF_THE_CHECKPOINT = ("leapfrog_steps", "epochs", "jit_compile", "importance_samples", "logdir")


def mlp(widths):
    # Smooth: training takes second derivatives of the decoder.
    return [keras.layers.Dense(width, "softplus") for width in widths]


class Momentum(keras.layers.Layer):
    """A Gaussian density of the momentum v given [features, z]; it draws v, or scores a given one."""

    def __init__(self, latent_size, hidden_units, seed):
        super().__init__()
        self.hidden = keras.Sequential([keras.layers.Concatenate(), *mlp(hidden_units)])
        self.gaussian = posteriors.DiagonalGaussian(latent_size, seed=seed)

    def call(self, features_and_z, seed=None, value=None):
        return self.gaussian(self.hidden(features_and_z), seed=seed, value=value)


@keras.saving.register_keras_serializable("tfp_iaf_examples")
class HamiltonianVAE(models.ElboModel):
    """A VAE that moves z by leapfrogs along log p(x, z), its momentum refreshed T times.

    Importance weights with this "log q" are unbiased, so `evaluation.log_likelihood` holds. But it is no density of z, which
    is not known: `posterior_log_prob` refuses, and exports lack it.

    Args:
        example_shape: of one x.
        latent_size: D.
        hidden_units: widths of the encoder's hidden layers; the decoder mirrors them.
        momentum_hidden_units: widths of the hidden layers of the densities q and r of each momentum.
        leapfrog_steps: the number of leapfrogs per refreshment.
        refreshments: T; 0 for the diagonal Gaussian alone.
        step_size: of the leapfrogs at the start; it is trained, for each refreshment and each entry of z.
        seed: integer seed of the noise; None draws one.
        likelihood: of x.
    """

    def __init__(
        self,
        example_shape,
        latent_size,
        hidden_units=(128,),
        momentum_hidden_units=(64,),
        leapfrog_steps=4,
        refreshments=1,
        step_size=0.1,
        seed=None,
        likelihood="bernoulli",
        **kwargs,
    ):
        super().__init__(likelihood, **kwargs)
        self.config = {
            "example_shape": list(example_shape),
            "latent_size": latent_size,
            "hidden_units": list(hidden_units),
            "momentum_hidden_units": list(momentum_hidden_units),
            "leapfrog_steps": leapfrog_steps,
            "refreshments": refreshments,
            "step_size": step_size,
            "seed": seed,
        }
        self.latent_size, self.leapfrog_steps, self.refreshments = latent_size, leapfrog_steps, refreshments
        output = [keras.layers.Dense(int(np.prod(example_shape))), keras.layers.Reshape(example_shape)]
        self.encoder = keras.Sequential([keras.layers.Flatten(), *mlp(hidden_units)])
        self.decoder = keras.Sequential([*mlp(hidden_units[::-1]), *output])
        self.prior = priors.StandardNormal()
        self.prior.build((latent_size,))
        seeds = [None if seed is None else seed + k for k in range(1 + refreshments)]
        self.posterior = posteriors.DiagonalGaussian(latent_size, seed=seeds[0])
        self.momenta = [Momentum(latent_size, momentum_hidden_units, seed) for seed in seeds[1:]]
        self.reverse_momenta = [Momentum(latent_size, momentum_hidden_units, seed) for seed in seeds[1:]]
        self.log_step_sizes = self.add_weight(
            shape=(refreshments, latent_size), initializer=keras.initializers.Constant(np.log(step_size)), name="log_step_sizes"
        )

    def elbo_terms(self, x, num_samples=1, seed=None, training=None):
        x = self.as_input(x)
        z, log_q = self.draw(x, num_samples, seed, training)
        parameters = self.decode(z, training=training)
        return {
            "reconstruction": self.log_likelihood_of(x, parameters, num_samples),
            "kl": tf.reshape(log_q - self.prior.log_prob(z), [num_samples, -1]),
        }

    def draw(self, x, num_samples=1, seed=None, training=None):
        """z_T `[S * B, D]`, and `[S * B]` what stands for log q(z | x) in the bound, the log q of all draws minus log r."""
        seeds = [None] * (1 + self.refreshments)
        if seed is not None:
            seed = noise.seed_pair(seed)
            seeds = [tf.random.experimental.stateless_fold_in(seed, k, alg="philox") for k in range(len(seeds))]
        features = self.encoder(x, training=training)
        z, log_q = self.posterior(features, num_samples=num_samples, seed=seeds[0])
        z, log_q = tf.reshape(z, [-1, self.latent_size]), tf.reshape(log_q, [-1])
        x, features = self.repeated(x, num_samples), self.repeated(features, num_samples)
        for t in range(self.refreshments):
            v, log_q_of_v = self.momenta[t]([features, z], seed=seeds[t + 1])
            z, v = self.leapfrogs(x, z, v, tf.exp(self.log_step_sizes[t]))
            log_q += log_q_of_v - self.reverse_momenta[t]([features, z], value=v)
        return z, log_q

    def leapfrogs(self, x, z, v, step_size):
        """(z, v) moved along log p(x, z), which preserves volume."""

        def log_joint(z):
            return self.log_likelihood_of(x, self.decode(z), 1)[0] + self.prior.log_prob(z)

        flow = bijectors.HamiltonianFlow(log_joint, step_size, self.leapfrog_steps)
        return tf.split(flow.forward_and_log_det(tf.concat([z, v], axis=-1))[0], 2, axis=-1)

    def decode(self, z, condition=None, training=False):
        return tf.cast(self.decoder(z, training=training), self.density_dtype)

    def latent_specs(self):
        return tf.TensorSpec((None, self.latent_size), self.density_dtype, name="z")

    def posterior_sample(self, x, seed=None):
        return self.draw(self.as_input(x), seed=seed)

    def prior_sample(self, num_samples, seed, temperature=1.0, condition=None):
        return self.prior.sample(num_samples, seed, temperature)

    def get_config(self):
        return {**super().get_config(), **self.config}


def title(leapfrog_steps):
    return {0: "none (diagonal)", 1: "1 (Langevin)"}.get(leapfrog_steps, str(leapfrog_steps))


def make_model(leapfrog_steps, data_shape):
    """The model that the flags describe."""
    model = HamiltonianVAE(
        data_shape,
        FLAGS.latent_size,
        hidden_units=[int(width) for width in FLAGS.hidden_units],
        momentum_hidden_units=[int(width) for width in FLAGS.momentum_hidden_units],
        leapfrog_steps=leapfrog_steps,
        refreshments=FLAGS.refreshments if leapfrog_steps else 0,
        seed=FLAGS.seed,
    )
    model.build((None, *data_shape))
    model.compile(keras.optimizers.Adamax(FLAGS.learning_rate), jit_compile=FLAGS.jit_compile)
    return model


def run(leapfrog_steps, splits, folder):
    """Trains, saves, loads, exports and evaluates one model, and writes what came out of it; returns the metrics."""
    print(f"\nLeapfrogs per refreshment: {title(leapfrog_steps)} -> {folder}")
    origin = provenance()
    keras.utils.set_random_seed(FLAGS.seed)
    model = make_model(leapfrog_steps, splits["x_train"].shape[1:])
    history = training.fit(
        model,
        splits,
        folder,
        batch_size=FLAGS.batch_size,
        seed=FLAGS.seed,
        epochs=FLAGS.epochs,
        kl_warm_up_steps=FLAGS.kl_warm_up_steps,
        keep_best=True,
        settings=command_line.values_of(sys.modules[__name__], NOT_OF_THE_CHECKPOINT),
    )
    training.export(model, folder)
    loaded = keras.saving.load_model(folder / "model.keras")
    metrics = {
        "data": FLAGS.data,
        "leapfrog_steps": leapfrog_steps,
        "refreshments": loaded.refreshments,
        "seed": FLAGS.seed,
        "steps": history[-1]["step"],
        "parameters": training.num_parameters(loaded),
        "validation_elbo": {"last": history[-1]["val_elbo"], "best": max(row["val_elbo"] for row in history)},
        "test": training.evaluate(loaded, splits["x_test"], importance_samples=FLAGS.importance_samples),
        **origin,
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    return metrics


def main(_):
    # TensorFlow reports each export in a dozen lines, and takes training several models for retracing.
    logging.set_verbosity(logging.ERROR)
    try:
        splits = datasets.load("digits" if FLAGS.smoke else FLAGS.data)
        if FLAGS.smoke:
            splits = {name: x[:200] for name, x in splits.items()}
            FLAGS.epochs, FLAGS.importance_samples, FLAGS.leapfrog_steps = 2, 8, ["2"]
            FLAGS.hidden_units, FLAGS.momentum_hidden_units, FLAGS.latent_size = ["16"], ["8"], 4
        logdir = pathlib.Path(FLAGS.logdir)
        results = [run(int(steps), splits, logdir / steps) for steps in FLAGS.leapfrog_steps]
    except ValueError as error:
        sys.exit(f"hamiltonian_vae: {error}")
    rows = [
        [title(metrics["leapfrog_steps"]), *(training.with_error(metrics["test"][key]) for key in ("elbo", "log_likelihood"))]
        for metrics in results
    ]
    summary = training.markdown_table(["leapfrogs per refreshment", "test bound [nats]", "test log p(x) [nats]"], rows)
    (logdir / "comparison.md").write_text(summary + "\n")
    print(f"\nTest set, {FLAGS.importance_samples} importance samples, standard errors over the examples:\n\n{summary}\n")
    print(f"Results are in {logdir}.")


if __name__ == "__main__":
    app.run(main)
