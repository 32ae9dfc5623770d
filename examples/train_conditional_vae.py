"""Trains a VAE of digits that is told the class, and draws the classes that it is asked for.

    python examples/train_conditional_vae.py --logdir=runs/conditional_vae

The folder gets metrics.json, samples.png (one class per row), model.keras, and saved_model/. All samples come from the model
after it was saved and loaded again. A classifier that was trained on the real digits says how many of the samples it takes for
the class that was asked for. The samples are drawn from the prior at temperature 1; the classifier sees their means,
E[x given z], and, for a second figure, pixels drawn from the likelihood.
"""

# ruff: noqa: E402

import pathlib
import sys

import command_line
from absl import app, flags, logging

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "data",
    "digits",
    "digits (embedded), or an .npz file of binary images with labels: x_train, y_train, and so for valid, test.",
)
flags.DEFINE_integer("latent_size", 8, "Size of z.", lower_bound=2)
flags.DEFINE_list("hidden_units", ["128", "128"], "Widths of the encoder's hidden layers; the decoder mirrors them.")
flags.DEFINE_integer("num_flows", 2, "Flows of the IAF posterior.", lower_bound=1)
flags.DEFINE_list("flow_hidden_units", ["64", "64"], "Widths of each IAF network's hidden layers.")
flags.DEFINE_float("learning_rate", 2e-3, "Learning rate of Adam at the start; it falls to zero.", lower_bound=0.0)
flags.DEFINE_integer("batch_size", 64, "Examples per step.", lower_bound=1)
flags.DEFINE_integer("epochs", 100, "Passes over the training data.", lower_bound=1)
flags.DEFINE_integer("samples_per_class", 200, "Samples that the classifier judges.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Seed of weights, noise, data order and samples.", lower_bound=0)
flags.DEFINE_string("logdir", "runs/conditional_vae", "Folder of the results.")
flags.DEFINE_bool("smoke", False, "A run of seconds: two epochs on a few digits.")
flags.register_validator(
    "data",
    lambda source: source == "digits" or pathlib.Path(source).is_file(),
    message="expected digits, or the path of an .npz file",
)
for _name in ("hidden_units", "flow_hidden_units"):
    flags.register_validator(_name, command_line.is_widths, message="expected positive integers, like 128,128")

if __name__ == "__main__":
    command_line.parse()

import datasets
import json_files
import keras
import numpy as np
import tensorflow as tf
import training
import vae_plots
from progress import Progress
from provenance import provenance
from sklearn.svm import SVC

import tfp_iaf

COLUMNS = 12


def make_model(data_shape, num_classes):
    """Encoder and decoder take the class too, as a list of two inputs; the posterior learns of it through the features."""
    widths = [int(width) for width in FLAGS.hidden_units]
    x, z, label = keras.Input(data_shape), keras.Input([FLAGS.latent_size]), keras.Input([num_classes])
    hidden = keras.layers.Concatenate()([keras.layers.Flatten()(x), label])
    for width in widths:
        hidden = keras.layers.Dense(width, "elu")(hidden)
    encoder = keras.Model([x, label], hidden, name="encoder")
    hidden = keras.layers.Concatenate()([z, label])
    for width in widths[::-1]:
        hidden = keras.layers.Dense(width, "elu")(hidden)
    logits = keras.layers.Reshape(data_shape)(keras.layers.Dense(int(np.prod(data_shape)), name="logits")(hidden))
    model = tfp_iaf.VAE(
        encoder=encoder,
        posterior=tfp_iaf.IAF(
            FLAGS.latent_size,
            num_flows=FLAGS.num_flows,
            hidden_units=[int(width) for width in FLAGS.flow_hidden_units],
            seed=FLAGS.seed,
        ),
        decoder=keras.Model([z, label], logits, name="decoder"),
    )
    model.build(((None, *data_shape), (None, num_classes)))
    return model


def recognised(classifier, images, labels):
    """The share of images that the classifier takes for their labels: of all, and by class."""
    is_right = classifier.predict(np.asarray(images).reshape([len(images), -1])) == labels
    return float(is_right.mean()), {int(label): float(is_right[labels == label].mean()) for label in np.unique(labels)}


def run(splits, labels, folder):
    """Trains, saves, loads, exports and evaluates the model, and writes what came out of it; returns the metrics."""
    origin = provenance()
    keras.utils.set_random_seed(FLAGS.seed)
    classes = np.unique(labels["train"])
    one_hot = {name: (of[:, np.newaxis] == classes).astype(np.float32) for name, of in labels.items()}
    model = make_model(splits["x_train"].shape[1:], len(classes))
    batch_size = min(FLAGS.batch_size, len(splits["x_train"]))
    steps = FLAGS.epochs * (len(splits["x_train"]) // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(FLAGS.learning_rate, steps)
    model.compile(keras.optimizers.Adam(schedule), jit_compile=not FLAGS.smoke)
    train = datasets.batches(np.arange(len(splits["x_train"])), batch_size, FLAGS.seed).take(steps)
    x, condition = tf.constant(splits["x_train"]), tf.constant(one_hot["train"])
    history = model.fit(
        train.map(lambda rows: ((tf.gather(x, rows), tf.gather(condition, rows)),)),
        steps_per_epoch=steps // FLAGS.epochs,
        epochs=FLAGS.epochs,
        validation_data=(splits["x_valid"], one_hot["valid"]),
        validation_batch_size=250,
        callbacks=[Progress("elbo", "val_elbo")],
        verbose=0,
    ).history

    folder.mkdir(parents=True, exist_ok=True)
    training.export(model, folder)
    loaded = keras.saving.load_model(folder / "model.keras")
    served = tf.saved_model.load(str(folder / "saved_model"))
    test = (splits["x_test"], one_hot["test"])
    metrics = {
        "data": FLAGS.data,
        "seed": FLAGS.seed,
        "epochs": FLAGS.epochs,
        "parameters": training.num_parameters(loaded),
        "validation_elbo": history["val_elbo"][-1],
        "test": training.evaluate(loaded, test, importance_samples=8 if FLAGS.smoke else 128),
    }

    asked = np.repeat(classes, FLAGS.samples_per_class)
    condition = (asked[:, np.newaxis] == classes).astype(np.float32)
    means = loaded.sample(len(asked), seed=[FLAGS.seed, 1], condition=condition).numpy()
    of_served = served.sample(tf.constant(len(asked)), tf.constant([FLAGS.seed, 1]), tf.constant(condition))["mean"]
    metrics["largest_difference_of_served_samples"] = float(np.abs(of_served - means).max())
    classifier = SVC(C=10.0).fit(splits["x_train"].reshape([len(splits["x_train"]), -1]), labels["train"])
    drawn = np.random.default_rng(FLAGS.seed).random(means.shape) < means
    share, by_class = recognised(classifier, means, asked)
    metrics["recognised"] = {
        "means": share,
        "means_by_class": by_class,
        "drawn_pixels": recognised(classifier, drawn, asked)[0],
        "real_test_images": recognised(classifier, splits["x_test"], labels["test"])[0],
        "samples_per_class": FLAGS.samples_per_class,
    }
    if means.ndim == 3:
        first = np.arange(min(COLUMNS, FLAGS.samples_per_class))
        rows = np.concatenate([means[asked == label][first] for label in classes])
        vae_plots.plot_images([rows], ["samples, one class per row"], folder / "samples.png", columns=len(first))
    json_files.write(folder / "metrics.json", {**metrics, **origin})
    return metrics


def main(_):
    logging.set_verbosity(logging.ERROR)  # TensorFlow reports each export in a dozen lines.
    try:
        splits, labels = datasets.load_labelled("digits" if FLAGS.smoke else FLAGS.data)
        if FLAGS.smoke:
            splits = {name: x[:200] for name, x in splits.items()}
            labels = {name: y[:200] for name, y in labels.items()}
            FLAGS.epochs, FLAGS.samples_per_class = 2, 20
        metrics = run(splits, labels, pathlib.Path(FLAGS.logdir))
    except (ValueError, OSError) as error:
        sys.exit(f"train_conditional_vae: {error}")
    test, found = metrics["test"], metrics["recognised"]
    bound, log_likelihood = (training.with_error(test[key]) for key in ("elbo", "log_likelihood"))
    print(f"\nTest bound {bound} nats, log p(x given class) {log_likelihood} nats.")
    print(
        f"A classifier trained on the real images recognises {found['means']:.1%} of the samples (their means; drawn pixels "
        f"{found['drawn_pixels']:.1%}), and {found['real_test_images']:.1%} of the real test images."
    )
    print(f"Results are in {FLAGS.logdir}.")


if __name__ == "__main__":
    app.run(main)
