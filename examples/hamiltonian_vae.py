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
    command_line.parse()

import datasets
import json_files
import keras
import training
import validations
from hamiltonian_model import HamiltonianVAE
from provenance import provenance

# What may change when a run is continued.
NOT_OF_THE_CHECKPOINT = ("leapfrog_steps", "epochs", "jit_compile", "importance_samples", "logdir")


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
        "validation_elbo": validations.summary(history),
        "test": training.evaluate(loaded, splits["x_test"], importance_samples=FLAGS.importance_samples),
        **origin,
    }
    json_files.write(folder / "metrics.json", metrics)
    return metrics


def main(_):
    # TensorFlow reports each export in a dozen lines, and takes training several models for retracing.
    logging.set_verbosity(logging.ERROR)
    try:
        splits = datasets.load("digits" if FLAGS.smoke else FLAGS.data)
        if FLAGS.smoke:
            splits = {name: x[:200] for name, x in splits.items()}
            FLAGS.epochs, FLAGS.importance_samples, FLAGS.leapfrog_steps, FLAGS.jit_compile = 2, 8, ["1"], False
            FLAGS.kl_warm_up_steps = 1
            FLAGS.hidden_units, FLAGS.momentum_hidden_units, FLAGS.latent_size = ["16"], ["8"], 4
        logdir = pathlib.Path(FLAGS.logdir)
        results = [run(int(steps), splits, logdir / steps) for steps in FLAGS.leapfrog_steps]
    except (ValueError, OSError) as error:
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
