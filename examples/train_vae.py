"""Trains VAEs on binary images with the posteriors and priors asked for, compares, saves and exports them.

    python examples/train_vae.py --data=digits --posterior=diagonal,full_covariance,iaf

Each posterior gets a folder below --logdir: metrics.json, curves.png, samples.png, reconstructions.png, model.keras, and
saved_model/ (see serve_vae.py). A run that was stopped goes on where it was when the same command is given again.

A flow may stand in the posterior, in the prior, or in both. This trains each posterior with each prior:

    python examples/train_vae.py --posterior=diagonal,iaf --prior=standard_normal,autoregressive_flow,vamp
"""

# ruff: noqa: E402

import pathlib
import sys

import command_line
from absl import app, flags, logging

POSTERIORS = {
    "diagonal": "diagonal",
    "full_covariance": "full covariance",
    "iaf": "IAF",
}
PRIORS = {
    "standard_normal": "standard normal prior",
    "autoregressive_flow": "flow prior",
    "vamp": "VampPrior",
}

FLAGS = flags.FLAGS
flags.DEFINE_string("data", "digits", "digits (embedded), mnist (downloaded), or the path of an .npz file of binary images.")
flags.DEFINE_list("posterior", ["iaf"], f"Posteriors to train, in turn; any of {', '.join(POSTERIORS)}.")
flags.DEFINE_list("prior", ["standard_normal"], f"Priors for each of them, in turn; any of {', '.join(PRIORS)}.")
flags.DEFINE_integer("latent_size", 32, "Size of z.", lower_bound=2)
flags.DEFINE_list("hidden_units", ["256", "256"], "Widths of the encoder's hidden layers; the decoder mirrors them.")
flags.DEFINE_string("activation", "elu", "Activation of all hidden layers, a Keras name.")
flags.DEFINE_integer("num_flows", 2, "Flows of the IAF posterior, and of the flow prior.", lower_bound=1)
flags.DEFINE_list("flow_hidden_units", ["256", "256"], "Widths of the hidden layers of each flow's network.")
flags.DEFINE_integer("pseudo_inputs", 50, "Components of the VampPrior.", lower_bound=1)
flags.DEFINE_enum("bijector_fn", "affine", ["affine", "gated", "location"], "Elementwise map of the IAF's flows.")
flags.DEFINE_enum("optimizer", "adamax", ["adam", "adamax", "rmsprop"], "rmsprop is centered, with rho 0.99.")
flags.DEFINE_float("learning_rate", 2e-3, "Learning rate.", lower_bound=0.0)
flags.DEFINE_float("decay_to", 1.0, "Fraction that the rate falls to, linearly, by the last step; 1 for none.", 0.0, 1.0)
flags.DEFINE_float("ema", 0.0, "Momentum of the weights' moving average, which is evaluated; 0 for none.", 0.0, 0.99999)
flags.DEFINE_float("free_bits", 0.0, "Nats per entry of z that the KL may hold without being penalized.", lower_bound=0.0)
flags.DEFINE_integer("batch_size", 128, "Examples per step.", lower_bound=1)
flags.DEFINE_integer("epochs", 20, "Passes over the training data.", lower_bound=1)
flags.DEFINE_integer(
    "steps", None, "Optimizer steps, a multiple of 1000, instead of --epochs; validated every 1000.", lower_bound=1
)
flags.DEFINE_integer("kl_warm_up_steps", 0, "Steps over which the weight of the KL term rises from 0 to 1.", lower_bound=0)
flags.DEFINE_integer(
    "patience", None, "End after more than so many validations in a row without a gain; by default never.", lower_bound=0
)
flags.DEFINE_bool("keep_best", False, "Evaluate and export the weights of the best validation bound, not the last.")
flags.DEFINE_bool("jit_compile", True, "Compile with XLA.")
flags.DEFINE_integer("importance_samples", 128, "Samples per example for log p(x).", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Seed of weights, noise and data order.", lower_bound=0)
flags.DEFINE_string("logdir", "runs/vae", "Folder of the results.")
flags.DEFINE_bool("tensorboard", False, "Write curves and pictures for TensorBoard, to tensorboard/ in each folder.")
flags.DEFINE_bool("smoke", False, "A run of seconds: two epochs on a few digits.")

flags.register_validator("data", command_line.is_data, message=command_line.EXPECTED_DATA)
for _name, _known in (("posterior", POSTERIORS), ("prior", PRIORS)):
    flags.register_validator(_name, command_line.is_list_of(_known), message=command_line.expected_list_of(_known))
flags.register_validator("steps", command_line.is_steps, message="expected up to 1000, or a multiple of 1000")
for _name in ("hidden_units", "flow_hidden_units"):
    flags.register_validator(_name, command_line.is_widths, message="expected positive integers, like 256,256")

if __name__ == "__main__":
    command_line.parse()

import datasets
import json_files
import keras
import numpy as np
import optimizers
import training
import vae_plots
import validations
from provenance import provenance

import tfp_iaf

# What may change when a run is continued.
NOT_OF_THE_CHECKPOINT = (
    "posterior",
    "prior",
    "epochs",
    "steps",
    "patience",
    "keep_best",
    "jit_compile",
    "importance_samples",
    "logdir",
    "tensorboard",
)


def mlp(widths, name):
    return [keras.layers.Dense(width, FLAGS.activation, name=f"{name}_{i}") for i, width in enumerate(widths)]


def title(posterior, prior):
    """What tables, curves and pictures call a model."""
    return POSTERIORS[posterior] + ("" if prior == "standard_normal" else f", {PRIORS[prior]}")


def make_prior(prior):
    if prior == "standard_normal":
        return tfp_iaf.priors.StandardNormal()
    if prior == "vamp":
        return tfp_iaf.priors.VampPrior(FLAGS.pseudo_inputs, seed=FLAGS.seed)
    return tfp_iaf.priors.AutoregressiveFlow(
        FLAGS.num_flows, [int(width) for width in FLAGS.flow_hidden_units], activation=FLAGS.activation
    )


def make_model(posterior, prior, data_shape, steps):
    """The VAE that the flags describe, to be trained for so many steps."""
    widths = [int(width) for width in FLAGS.hidden_units]
    if posterior == "iaf":
        posterior = tfp_iaf.IAF(
            FLAGS.latent_size,
            num_flows=FLAGS.num_flows,
            hidden_units=[int(width) for width in FLAGS.flow_hidden_units],
            bijector_fn=FLAGS.bijector_fn,
            activation=FLAGS.activation,
            seed=FLAGS.seed,
        )
    else:
        layer = {"diagonal": tfp_iaf.DiagonalGaussian, "full_covariance": tfp_iaf.FullCovariance}[posterior]
        posterior = layer(FLAGS.latent_size, seed=FLAGS.seed)
    output = [keras.layers.Dense(int(np.prod(data_shape)), name="logits"), keras.layers.Reshape(data_shape)]
    model = tfp_iaf.VAE(
        encoder=keras.Sequential([keras.layers.Flatten(), *mlp(widths, "encoder")]),
        posterior=posterior,
        decoder=keras.Sequential([*mlp(widths[::-1], "decoder"), *output]),
        prior=make_prior(prior),
        free_bits=FLAGS.free_bits,
    )
    model.build((None, *data_shape))
    optimizer = optimizers.make(FLAGS.optimizer, FLAGS.learning_rate, FLAGS.decay_to, steps, FLAGS.ema)
    model.compile(optimizer, jit_compile=FLAGS.jit_compile)
    return model


def kept_settings(splits):
    """What must be the same when a run is continued: every flag of this file but those that may change, and the data."""
    kept = command_line.values_of(sys.modules[__name__], NOT_OF_THE_CHECKPOINT)
    return {**kept, "training_images": len(splits["x_train"]), **training.schedule(FLAGS.decay_to, num_steps(splits))}


def num_steps(splits):
    return training.num_steps(len(splits["x_train"]), FLAGS.batch_size, FLAGS.epochs, FLAGS.steps)


def for_tensorboard(x, folder):
    pictures = [tfp_iaf.callbacks.TensorBoardImages(folder, x, seed=FLAGS.seed)] if x.ndim == 3 else []
    return [keras.callbacks.TensorBoard(folder), *pictures]


def run(posterior, prior, splits, folder):
    """Trains and evaluates one model, and writes what came out of it; returns its metrics and history."""
    name = title(posterior, prior)
    print(f"\nPosterior: {name} -> {folder}")
    origin = provenance()
    keras.utils.set_random_seed(FLAGS.seed)
    data_shape = splits["x_train"].shape[1:]
    model = make_model(posterior, prior, data_shape, num_steps(splits))
    history = training.fit(
        model,
        splits,
        folder,
        batch_size=FLAGS.batch_size,
        seed=FLAGS.seed,
        epochs=FLAGS.epochs,
        steps=FLAGS.steps,
        patience=FLAGS.patience,
        kl_warm_up_steps=FLAGS.kl_warm_up_steps,
        keep_best=FLAGS.keep_best,
        settings=kept_settings(splits),
        callbacks=for_tensorboard(splits["x_valid"][:25], folder / "tensorboard") if FLAGS.tensorboard else [],
    )
    seconds = training.median_seconds_per_step(history)
    metrics = {
        "data": FLAGS.data,
        "posterior": posterior,
        "prior": prior,
        "seed": FLAGS.seed,
        "steps": history[-1]["step"],
        "parameters": training.num_parameters(model),
        "seconds_per_1000_steps": None if seconds is None else 1000.0 * seconds,
        "validation_elbo": validations.summary(history),
        "test": training.evaluate(model, splits["x_test"], importance_samples=FLAGS.importance_samples),
        **origin,
    }
    vae_plots.plot_curves({name: history}, folder / "curves.png")
    if len(data_shape) == 2:
        vae_plots.plot_images([model.sample(64, seed=[FLAGS.seed, 1])], [f"samples, {name}"], folder / "samples.png")
        originals = splits["x_test"][:64]
        vae_plots.plot_images(
            [originals, model.reconstruct(originals, seed=[FLAGS.seed, 2])],
            ["test images", f"reconstructions, {name}"],
            folder / "reconstructions.png",
        )
    training.export(model, folder)
    json_files.write(folder / "metrics.json", metrics)
    return metrics, history


def table(results):
    """The comparison as Markdown."""
    rows = []
    for metrics in results:
        test, seconds = metrics["test"], metrics["seconds_per_1000_steps"]
        figures = [training.with_error(test[key]) for key in ("elbo", "log_likelihood")]
        rows.append([title(metrics["posterior"], metrics["prior"]), *figures, "" if seconds is None else f"{seconds:.1f}"])
    headers = ["posterior", "test bound [nats]", "test log p(x) [nats]", "s per 1,000 steps"]
    return training.markdown_table(headers, rows)


def main(_):
    # TensorFlow reports each export in a dozen lines, and takes training several models for retracing.
    logging.set_verbosity(logging.ERROR)
    try:
        if not callable(getattr(keras.activations, FLAGS.activation, None)):
            raise ValueError(f"--activation={FLAGS.activation}: expected the name of a Keras activation.")
        splits = datasets.load("digits" if FLAGS.smoke else FLAGS.data)
        if FLAGS.smoke:
            splits = {name: x[:200] for name, x in splits.items()}
            FLAGS.epochs, FLAGS.importance_samples, FLAGS.jit_compile = 2, 8, False
            FLAGS.hidden_units, FLAGS.flow_hidden_units, FLAGS.latent_size, FLAGS.pseudo_inputs = ["32"], ["32"], 4, 5
        logdir = pathlib.Path(FLAGS.logdir)
        runs = {}
        for posterior in FLAGS.posterior:
            for prior in FLAGS.prior:
                folder = logdir / (posterior if prior == "standard_normal" else f"{posterior}-{prior}")
                runs[title(posterior, prior)] = run(posterior, prior, splits, folder)
    except (ValueError, OSError) as error:
        sys.exit(f"train_vae: {error}")
    summary = table([metrics for metrics, _ in runs.values()])
    if len(runs) > 1:
        (logdir / "comparison.md").write_text(summary + "\n")
        vae_plots.plot_curves({name: history for name, (_, history) in runs.items()}, logdir / "curves.png")
    print(f"\nTest set, {FLAGS.importance_samples} importance samples, standard errors over the examples:\n\n{summary}\n")
    print(f"Results are in {logdir}.")


if __name__ == "__main__":
    app.run(main)
