"""Trains VAEs on images with the posteriors asked for, compares, saves and exports them.

    python examples/train_image_vae.py --preset=mnist-resnet --data=mnist --posterior=diagonal,full_covariance,iaf
    python examples/train_image_vae.py --preset=cifar-small --data=images.zip --posterior=diagonal,linear,iaf

A preset is a model with its training; a flag changes one value of it. Each posterior gets a folder below --logdir:
metrics.json, curves.png, samples.png, reconstructions.png, model.keras, and saved_model/ (see serve_vae.py). A run that was
stopped goes on where it was when the same command is given again.
"""

# ruff: noqa: E402

import functools
import pathlib
import sys
import types

import command_line
from absl import app, flags, logging
from image_presets import POSTERIORS, PRESETS, values_of

# Images that the weight-normalized layers are initialized on, and that the pictures show.
INITIALIZATION_IMAGES = 256
PICTURED = 64

# What may change when a run is continued.
NOT_OF_THE_CHECKPOINT = (
    "epochs",
    "steps",
    "patience",
    "elbo_samples",
    "importance_samples",
    "importance_images",
    "evaluation_rows",
)

FLAGS = flags.FLAGS
flags.DEFINE_enum("preset", "cifar-small", list(PRESETS), "The model and its training.")
flags.DEFINE_string("logdir", "runs/image_vae", "Folder of the results.")
flags.DEFINE_integer("seed", 0, "Seed of weights, noise, data order and split.", lower_bound=0)
flags.DEFINE_bool("smoke", False, "A run of seconds: two epochs of a small model on a few images.")
flags.DEFINE_bool("keep_best", False, "Evaluate and export the weights of the best validation bound, not the last.")
flags.DEFINE_bool("jit_compile", None, "Compile with XLA; by default yes, but not in a --smoke run.")
flags.DEFINE_bool("mixed_precision", False, "Compute in bfloat16, densities in float32.")
flags.DEFINE_integer("grid_epochs", None, "Save a picture to grids/ every so many epochs.", lower_bound=1)
flags.DEFINE_integer("size", None, "Cut and scale the images of a folder or .zip to this height and width.", lower_bound=2)
flags.DEFINE_integer("limit_train", None, "Train on so many first images only.", lower_bound=1)
# The values of the presets.
flags.DEFINE_string(
    "data", None, "digits (embedded), mnist, cifar10 (downloaded), a folder or .zip of images, or an .npz file."
)
flags.DEFINE_list("posterior", None, f"Posteriors to train, in turn; any of {', '.join(POSTERIORS)} that the preset has.")
flags.DEFINE_enum("resnet_version", None, ["first", "final"], "Of the paper, whose MNIST networks to take.")
flags.DEFINE_integer("latent_size", None, "Size of z of mnist-resnet.", lower_bound=2)
flags.DEFINE_list("flow_hidden_units", None, "Widths of the hidden layers of each IAF network of mnist-resnet.")
flags.DEFINE_list("num_layers", None, "Stochastic layers at each resolution, the finest first.")
flags.DEFINE_integer("filters", None, "Feature maps of the deterministic ways up and down.", lower_bound=1)
flags.DEFINE_integer("latent_channels", None, "Feature maps of each latent.", lower_bound=1)
flags.DEFINE_integer("patch_size", None, "By how much the first convolution divides height and width.", lower_bound=1)
flags.DEFINE_enum("inference", None, ["bidirectional", "bottom-up"], "How latents are inferred.")
flags.DEFINE_list("flow_filters", None, "Feature maps of the hidden layers of each IAF network; by default one of --filters.")
flags.DEFINE_integer("num_flows", None, "Flows of an IAF posterior.", lower_bound=1)
flags.DEFINE_enum("bijector_fn", None, ["affine", "gated", "location"], "Elementwise map of the IAF's flows.")
flags.DEFINE_float("free_bits", None, "Nats per feature map of a layer, or entry of a vector z, without penalty.", 0.0)
flags.DEFINE_bool("soft_free_bits", None, "Free bits by weights that follow them.")
flags.DEFINE_bool("weight_norm", None, "Normalize weights, initialized on training images.")
flags.DEFINE_bool("recompute", None, "Compute activations again for the gradient: less memory, more time.")
flags.DEFINE_float("learning_rate", None, "Learning rate of Adamax.", lower_bound=0.0)
flags.DEFINE_float("decay_to", None, "Fraction that the rate falls to, linearly, by the last step; 1 for none.", 0.0, 1.0)
flags.DEFINE_integer("batch_size", None, "Images per step.", lower_bound=1)
flags.DEFINE_integer("epochs", None, "Passes over the training images.", lower_bound=1)
flags.DEFINE_integer("steps", None, "Steps, a multiple of 1000, instead of --epochs; validated every 1000.", lower_bound=1)
flags.DEFINE_integer("patience", None, "End after more than so many validations in a row without a gain.", lower_bound=0)
flags.DEFINE_float("ema", None, "Momentum of the weights' moving average, which is evaluated; 0 for none.", 0.0, 0.99999)
flags.DEFINE_bool("flip", None, "Mirror training images at random.")
flags.DEFINE_integer("kl_warm_up_steps", None, "Steps over which the weight of the KL term rises from 0 to 1.", lower_bound=0)
flags.DEFINE_integer("elbo_samples", None, "Samples per test image for the bound.", lower_bound=1)
flags.DEFINE_integer("importance_samples", None, "Samples per test image for log p(x).", lower_bound=1)
flags.DEFINE_integer(
    "importance_images", None, "Test images for log p(x), spread over all; by default all of MNIST.", lower_bound=2
)
flags.DEFINE_integer("evaluation_rows", None, "Images times samples at a time in the evaluation; bounds memory.", lower_bound=1)
flags.register_validator("posterior", command_line.is_list_of(POSTERIORS), message=command_line.expected_list_of(POSTERIORS))
flags.register_validator("steps", command_line.is_steps, message="expected up to 1000, or a multiple of 1000")
for _name in ("flow_hidden_units", "num_layers", "flow_filters"):
    flags.register_validator(_name, command_line.is_widths, message="expected positive integers, like 64,64")

for _name in sorted({name for preset in PRESETS.values() for name in preset}):
    _values = {preset: values[_name] for preset, values in PRESETS.items() if values.get(_name) is not None}
    _texts = {preset: ",".join(value) if isinstance(value, list) else str(value) for preset, value in _values.items()}
    if len(_texts) == len(PRESETS) and len(set(_texts.values())) == 1:
        _texts = {"every preset": next(iter(_texts.values()))}
    FLAGS[_name].help += f" ({'; '.join(f'{preset}: {text}' for preset, text in _texts.items())})" if _texts else ""


def read_settings():
    """The preset's values, with those given as flags in their place.

    Raises:
        ValueError: for flags that the preset has no use for.
    """
    values = values_of(FLAGS.preset, FLAGS.smoke)
    for name in sorted({name for preset in PRESETS.values() for name in preset}):
        if FLAGS[name].value is None:
            continue
        if name not in values:
            raise ValueError(f"--{name} does not apply to the preset {FLAGS.preset}.")
        values[name] = FLAGS[name].value
    known = ["diagonal", "full_covariance" if FLAGS.preset == "mnist-resnet" else "linear", "iaf"]
    if not set(values["posterior"]) <= set(known):
        raise ValueError(f"--posterior: the preset {FLAGS.preset} has {', '.join(known)}.")
    return types.SimpleNamespace(**values)


if __name__ == "__main__":
    command_line.parse(read_settings)

import image_datasets
import json_files
import keras
import numpy as np
import optimizers
import training
import vae_plots
import validations
from averaging import averaged
from provenance import provenance

import tfp_iaf


def resnet_vae(settings, posterior, images):
    """The VAE of the paper's MNIST experiments."""
    if images.likelihood != "bernoulli" or images.shape != (28, 28, 1):
        raise ValueError(f"The preset {FLAGS.preset} takes binary images of 28 x 28; --data={settings.data} has others.")
    if posterior == "iaf":
        posterior = tfp_iaf.IAF(
            settings.latent_size,
            num_flows=settings.num_flows,
            hidden_units=integers(settings.flow_hidden_units),
            bijector_fn=settings.bijector_fn,
            seed=FLAGS.seed,
        )
    else:
        layer = {"diagonal": tfp_iaf.DiagonalGaussian, "full_covariance": tfp_iaf.FullCovariance}[posterior]
        posterior = layer(settings.latent_size, seed=FLAGS.seed)
    return tfp_iaf.VAE(
        encoder=tfp_iaf.layers.mnist_encoder(settings.resnet_version, settings.weight_norm),
        posterior=posterior,
        decoder=tfp_iaf.layers.mnist_decoder(settings.resnet_version, settings.weight_norm, images.shape),
        likelihood=images.likelihood,
        free_bits=settings.free_bits,
    )


def hierarchical_vae(settings, posterior, images):
    """The ResNet VAE of the paper's CIFAR-10 experiments."""
    of_flows = {
        "num_flows": settings.num_flows,
        "flow_filters": None if settings.flow_filters is None else integers(settings.flow_filters),
        "bijector_fn": settings.bijector_fn,
    }
    return tfp_iaf.models.HierarchicalVAE(
        images.shape,
        num_layers=integers(settings.num_layers),
        filters=settings.filters,
        latent_channels=settings.latent_channels,
        patch_size=settings.patch_size,
        inference=settings.inference,
        posterior=posterior,
        **(of_flows if posterior == "iaf" else {}),
        free_bits=settings.free_bits,
        soft_free_bits=settings.soft_free_bits,
        likelihood=images.likelihood,
        weight_norm=settings.weight_norm,
        recompute=settings.recompute,
        seed=FLAGS.seed,
    )


def make_model(settings, posterior, images):
    make = resnet_vae if FLAGS.preset == "mnist-resnet" else hierarchical_vae
    model = make(settings, posterior, images)
    model.build((None, *images.shape))
    model.compile(
        optimizers.make("adamax", settings.learning_rate, settings.decay_to, num_steps(settings, images), settings.ema),
        jit_compile=not FLAGS.smoke if FLAGS.jit_compile is None else FLAGS.jit_compile,
    )
    return model


def num_steps(settings, images):
    return training.num_steps(len(images.splits["x_train"]), settings.batch_size, settings.epochs, settings.steps)


def integers(values):
    return [int(value) for value in values]


def sample_panels(model, label):
    """(titles, images) of samples."""
    temperatures = (1.0, 0.7)
    return (
        [f"samples, {label}, temperature {temperature}" for temperature in temperatures],
        [model.sample(PICTURED, seed=[FLAGS.seed, 1], temperature=temperature) for temperature in temperatures],
    )


def reconstruction_panels(model, label, images):
    """(titles, images) of test images and their reconstructions."""
    x_test = images.splits["x_test"]
    originals = x_test[training.spread(len(x_test), PICTURED)]
    return ["test images", f"reconstructions, {label}"], [originals, model.reconstruct(originals, seed=[FLAGS.seed, 2])]


def plot_panels(panels, images, path):
    titles, rows = panels
    is_binary = images.likelihood == "bernoulli"
    rows = [np.asarray(row) / (1.0 if is_binary else 255.0) for row in rows]
    vae_plots.plot_images(rows, titles, path, grey="gray_r" if is_binary else "gray")


class Grids(keras.callbacks.Callback):
    """Saves a picture of samples and reconstructions every `epochs` epochs."""

    def __init__(self, epochs, label, images, folder):
        super().__init__()
        self.epochs = epochs
        self.label = label
        self.images = images
        self.folder = folder

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.epochs:
            return
        self.folder.mkdir(exist_ok=True)
        with averaged(self.model):
            samples = sample_panels(self.model, self.label)
            reconstructions = reconstruction_panels(self.model, self.label, self.images)
        panels = [a + b for a, b in zip(samples, reconstructions)]
        plot_panels(panels, self.images, self.folder / f"epoch_{epoch + 1:04d}.png")


def run(name, settings, images, folder):
    """Trains and evaluates one posterior, and writes what came out of it; returns its metrics and history."""
    label = POSTERIORS[name]
    print(f"\n{label} posterior -> {folder}")
    origin = provenance()
    keras.utils.set_random_seed(FLAGS.seed)
    model = make_model(settings, name, images)
    x_train = images.splits["x_train"]
    kept = {key: value for key, value in vars(settings).items() if key not in (*NOT_OF_THE_CHECKPOINT, "posterior")}
    history = training.fit(
        model,
        images.splits,
        folder,
        batch_size=settings.batch_size,
        seed=FLAGS.seed,
        epochs=settings.epochs,
        steps=settings.steps,
        patience=settings.patience,
        kl_warm_up_steps=settings.kl_warm_up_steps,
        keep_best=FLAGS.keep_best,
        batches=functools.partial(image_datasets.batches, flip=settings.flip),
        initialize=functools.partial(initialize, x=x_train) if settings.weight_norm else None,
        settings={
            **kept,
            "preset": FLAGS.preset,
            "seed": FLAGS.seed,
            "size": FLAGS.size,
            "mixed_precision": FLAGS.mixed_precision,
        }
        | {"training_images": len(x_train), **training.schedule(settings.decay_to, num_steps(settings, images))},
        callbacks=[Grids(FLAGS.grid_epochs, label, images, folder / "grids")] if FLAGS.grid_epochs else [],
    )
    seconds = training.median_seconds_per_step(history)
    steps_per_pass = max(1, len(x_train) // settings.batch_size)
    test = training.evaluate(
        model,
        images.splits["x_test"],
        importance_samples=settings.importance_samples,
        elbo_samples=settings.elbo_samples,
        importance_images=settings.importance_images,
        max_rows=settings.evaluation_rows,
    )
    validation = validations.summary(history)
    metrics = {
        "data": settings.data,
        **({"note": images.note} if images.note else {}),
        "image_shape": images.shape,
        "images": {split.removeprefix("x_"): len(x) for split, x in images.splits.items()},
        "preset": FLAGS.preset,
        "posterior": name,
        "seed": FLAGS.seed,
        "settings": {**vars(settings), "keep_best": FLAGS.keep_best, "limit_train": FLAGS.limit_train, "size": FLAGS.size}
        | {"jit_compile": model.jit_compile, "mixed_precision": FLAGS.mixed_precision},
        "steps": history[-1]["step"],
        "parameters": training.num_parameters(model),
        "seconds_per_epoch": None if seconds is None else seconds * steps_per_pass,
        "seconds_per_step": seconds,
        "validation_elbo": validation,
        "test": test,
        **origin,
    }
    if has_bits(images):
        metrics["validation_bits_per_dim"] = {key: bits(value, images) for key, value in validation.items()}
        metrics["test_bits_per_dim"] = {key: figure_in_bits(test[key], images) for key in ("elbo", "log_likelihood")}
    plot_curves({label: history}, images, folder / "curves.png")
    plot_panels(sample_panels(model, label), images, folder / "samples.png")
    plot_panels(reconstruction_panels(model, label, images), images, folder / "reconstructions.png")
    training.export(model, folder)
    json_files.write(folder / "metrics.json", metrics)
    return metrics, history


def initialize(model, x):
    tfp_iaf.layers.initialize_weight_normalization(model, x[:INITIALIZATION_IMAGES])


def has_bits(images):
    return images.likelihood == "discretized_logistic"


def bits(nats, images):
    return float(tfp_iaf.evaluation.bits_per_dim(nats, images.shape))


def figure_in_bits(figure, images):
    return {"mean": bits(figure["mean"], images), "standard_error": abs(bits(figure["standard_error"], images))}


def plot_curves(histories, images, path):
    vae_plots.plot_curves(histories, path, bits_of=images.shape if has_bits(images) else None)


def table(results):
    """The comparison as Markdown."""
    in_bits = "test_bits_per_dim" in results[0]
    headers = ["posterior", "test bound [nats]", "test log p(x) [nats]"]
    headers += ["bound [bits/dim]", "log p(x) [bits/dim]"] if in_bits else []
    headers += ["s per epoch", "s per step", "parameters"]
    rows = []
    for metrics in results:
        cells = [POSTERIORS[metrics["posterior"]]]
        for unit, digits in (("test", 2), *([("test_bits_per_dim", 4)] if in_bits else [])):
            cells += [training.with_error(metrics[unit][key], digits) for key in ("elbo", "log_likelihood")]
        seconds = (metrics["seconds_per_epoch"], metrics["seconds_per_step"])
        cells += ["" if value is None else f"{value:.{digits}f}" for value, digits in zip(seconds, (1, 4))]
        rows.append([*cells, f"{metrics['parameters']:,}"])
    return training.markdown_table(headers, rows)


def main(_):
    # TensorFlow reports each export in a dozen lines, and takes training several models for retracing.
    logging.set_verbosity(logging.ERROR)
    if FLAGS.mixed_precision:
        keras.config.set_dtype_policy("mixed_bfloat16")
    logdir = pathlib.Path(FLAGS.logdir)
    try:
        settings = read_settings()
        images = image_datasets.load(settings.data, FLAGS.seed, FLAGS.size)
        if FLAGS.smoke:
            images.splits.update({name: x[:200] for name, x in images.splits.items()})
        images.splits["x_train"] = images.splits["x_train"][: FLAGS.limit_train]
        runs = {name: run(name, settings, images, logdir / name) for name in settings.posterior}
    except (ValueError, OSError) as error:
        sys.exit(f"train_image_vae: {error}")
    num_test = len(images.splits["x_test"])
    num_images = min(settings.importance_images or num_test, num_test)
    summary = (
        f"Test images; log p(x) with {settings.importance_samples} samples of {num_images} of them; "
        f"standard errors over the images.\n\n{table([metrics for metrics, _ in runs.values()])}\n"
    )
    if images.note:
        summary += f"\nThe images are {images.note}.\n"
    if len(runs) > 1:
        (logdir / "comparison.md").write_text(summary)
        plot_curves({POSTERIORS[name]: history for name, (_, history) in runs.items()}, images, logdir / "curves.png")
    print(f"\n{summary}")
    print(f"Results are in {logdir}.")


if __name__ == "__main__":
    app.run(main)
