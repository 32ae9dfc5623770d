"""What the bound of a finished run of a study loses, and to what: to the family of its posterior, or to its encoder.

    python -m benchmarks.gaps small-mlp-ours --variant=iaf-60k --seed=2 --data=images.npz

Of some test images, spread evenly, the posterior's inputs are fitted to each image by itself, with decoder and flows as they
are. With L* the bound of these and L that of the encoder's:

    log p(x) - L = (log p(x) - L*) + (L* - L)

The first is the approximation gap, the second the amortization gap (Cremer et al. 2018, "Inference suboptimality in variational
autoencoders", section 3). log p(x) is estimated by importance samples of the fitted posterior. The result is
benchmarks/results/gaps/STUDY-VARIANT-seedS.json.
"""

# ruff: noqa: E402

import math
import pathlib
import sys

from absl import app, flags

ROOT = pathlib.Path(__file__).resolve().parents[1]
# The second, since the examples import one another by bare names.
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import datasets
import json_files
import keras
import numpy as np
import tensorflow as tf
import training
from provenance import provenance

from benchmarks import studies, study
from tfp_iaf import evaluation

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_images", 200, "Test images.", lower_bound=2)
flags.DEFINE_integer("fit_steps", 2000, "Steps of the fit for each image.", lower_bound=1)
flags.DEFINE_integer("fit_samples", 8, "Samples per step.", lower_bound=1)
flags.DEFINE_float("fit_rate", 0.01, "Adam's learning rate, which falls to 0 by a cosine.", lower_bound=0.0)
flags.DEFINE_integer("num_samples", 5000, "Samples of each bound, and importance samples.", lower_bound=1)
flags.DEFINE_string("out", str(ROOT / "benchmarks" / "results" / "gaps"), "Folder of the result file.")

SAMPLES_AT_ONCE = 100


def log_weights(model, x, features, num_samples, seed=None):
    """log p(x, z) - log q(z) of samples of the posterior at the features, `[S, B]`."""
    z, log_q = model.posterior(features, num_samples=num_samples, seed=seed)
    parameters = model.decode(tf.reshape(z, [-1, *model.posterior.event_shape]))
    return model.log_likelihood_of(x, parameters, num_samples) + model.prior.log_prob(z) - log_q


def fitted(model, x, *, steps, num_samples, learning_rate):
    """The features of the best bound found for each x, from the encoder's on."""
    features = tf.Variable(model.encode(x))
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps))
    optimizer.build([features])

    @tf.function
    def step():
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(features)
            bounds = tf.reduce_mean(log_weights(model, x, features, num_samples), axis=0)
            loss = -tf.reduce_sum(bounds)
        optimizer.apply([tape.gradient(loss, features)], [features])

    for _ in range(steps):
        step()
    return tf.convert_to_tensor(features)


def estimates(model, x, features, num_samples):
    """(bounds, log p(x)) of each x by samples of the posterior at the features, float64 `[B]` each."""
    weights = tf.function(lambda seed: log_weights(model, x, features, SAMPLES_AT_ONCE, seed))
    chunks = [weights(tf.constant([3, k])).numpy() for k in range(math.ceil(num_samples / SAMPLES_AT_ONCE))]
    values = np.concatenate(chunks).astype(np.float64)
    return values.mean(axis=0), np.logaddexp.reduce(values, axis=0) - math.log(len(values))


def gaps(model, x, *, steps, fit_samples, learning_rate, num_samples):
    """Name -> values of each x: the bound, the fitted bound, log p(x), and both gaps."""
    bound, _ = estimates(model, x, model.encode(x), num_samples)
    features = fitted(model, x, steps=steps, num_samples=fit_samples, learning_rate=learning_rate)
    fitted_bound, log_likelihood = estimates(model, x, features, num_samples)
    return {
        "bound": bound,
        "fitted_bound": fitted_bound,
        "log_likelihood": log_likelihood,
        "approximation_gap": log_likelihood - fitted_bound,
        "amortization_gap": fitted_bound - bound,
    }


def main(argv):
    if len(argv) != 2 or argv[1] not in studies.NAMES:
        raise app.UsageError(f"Expected one study, of {', '.join(studies.NAMES)}; got: {' '.join(argv[1:]) or 'none'}")
    name = argv[1]
    splits = datasets.load(FLAGS.data)
    model, _ = study.finished(name, FLAGS.variant, FLAGS.seed, splits["x_train"].shape[1:])
    x = tf.constant(splits["x_test"][training.spread(len(splits["x_test"]), FLAGS.num_images)])
    keras.utils.set_random_seed(FLAGS.seed)
    values = gaps(
        model,
        x,
        steps=FLAGS.fit_steps,
        fit_samples=FLAGS.fit_samples,
        learning_rate=FLAGS.fit_rate,
        num_samples=FLAGS.num_samples,
    )
    summary = {
        key: dict(zip(("mean", "standard_error"), evaluation.mean_and_standard_error(value))) for key, value in values.items()
    }
    result = {
        "study": name,
        "variant": FLAGS.variant,
        "seed": FLAGS.seed,
        "images": len(x),
        **summary,
        **{key: FLAGS[key].value for key in ("fit_steps", "fit_samples", "fit_rate", "num_samples")},
        **provenance(),
        "command": f"python -m benchmarks.gaps {name} --variant={FLAGS.variant} --seed={FLAGS.seed} "
        f"--data={pathlib.Path(FLAGS.data).name}",
    }
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    json_files.write(out / f"{name}-{FLAGS.variant}-seed{FLAGS.seed}.json", result)
    for key, figure in summary.items():
        print(f"{key.replace('_', ' ')}: {training.with_error(figure)} nats")


if __name__ == "__main__":
    app.run(main)
