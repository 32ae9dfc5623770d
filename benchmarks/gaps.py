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

import pathlib
import sys

from absl import app, flags

ROOT = pathlib.Path(__file__).resolve().parents[1]
# The second, since the examples import one another by bare names.
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import json_files
import keras
import tensorflow as tf
import training
from provenance import provenance

from benchmarks import posterior_gaps, study
from tfp_iaf import evaluation

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_images", 200, "Test images.", lower_bound=2)
flags.DEFINE_integer("fit_steps", 2000, "Steps of the fit for each image.", lower_bound=1)
flags.DEFINE_integer("fit_samples", 8, "Samples per step.", lower_bound=1)
flags.DEFINE_float("fit_rate", 0.01, "Adam's learning rate, which falls to 0 by a cosine.", lower_bound=0.0)
flags.DEFINE_integer("num_samples", 5000, "Samples of each bound, and importance samples.", lower_bound=1)
flags.DEFINE_string("out", str(ROOT / "benchmarks" / "results" / "gaps"), "Folder of the result file.")


def main(argv):
    name, model, splits, _ = study.finished(argv)
    x = tf.constant(splits["x_test"][training.spread(len(splits["x_test"]), FLAGS.num_images)])
    keras.utils.set_random_seed(FLAGS.seed)
    values = posterior_gaps.gaps(
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
        f"--data={pathlib.Path(FLAGS.data).name} --num_images={len(x)} --fit_steps={FLAGS.fit_steps} "
        f"--fit_samples={FLAGS.fit_samples} --fit_rate={FLAGS.fit_rate} --num_samples={FLAGS.num_samples}",
    }
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    json_files.write(out / f"{name}-{FLAGS.variant}-seed{FLAGS.seed}.json", result)
    for key, figure in summary.items():
        print(f"{key.replace('_', ' ')}: {training.with_error(figure)} nats")


if __name__ == "__main__":
    app.run(main)
