"""What more importance samples add to the log p(x) of a finished run of a study, on some of its test images.

    python -m benchmarks.more_samples deep-mnist --variant=iaf-50k --seed=0 --data=images.npz

The images are spread evenly over the test set; the difference is paired by image. The result is
benchmarks/results/more_samples/STUDY-VARIANT-seedS.json.
"""

# ruff: noqa: E402

import pathlib
import sys

from absl import app, flags

ROOT = pathlib.Path(__file__).resolve().parents[1]
# The second, since the examples import one another by bare names.
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import json_files
import numpy as np
import training
from provenance import provenance

from benchmarks import study
from tfp_iaf import evaluation

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_samples", 4096, "Importance samples.", lower_bound=1)
flags.DEFINE_integer("num_images", 250, "Test images.", lower_bound=2)
flags.DEFINE_string("out", str(ROOT / "benchmarks" / "results" / "more_samples"), "Folder of the result file.")


def main(argv):
    name, model, splits, folder = study.finished(argv)
    rows = training.spread(len(splits["x_test"]), FLAGS.num_images)
    before = np.load(folder / "evaluated.npy")[1, rows]
    after, sample_size = evaluation.log_likelihood(
        model, splits["x_test"][rows], FLAGS.num_samples, seed=2, verbose=False, return_effective_sample_size=True
    )
    difference, error = evaluation.mean_and_standard_error(after - before)
    result = {
        "study": name,
        "variant": FLAGS.variant,
        "seed": FLAGS.seed,
        "images": len(rows),
        "num_samples": FLAGS.num_samples,
        "difference": {"mean": difference, "standard_error": error},
        "log_likelihood": float(after.mean()),
        "effective_sample_size": float(sample_size.mean()),
        **provenance(),
        "command": f"python -m benchmarks.more_samples {name} --variant={FLAGS.variant} --seed={FLAGS.seed} "
        f"--data={pathlib.Path(FLAGS.data).name} --num_samples={FLAGS.num_samples} --num_images={FLAGS.num_images}",
    }
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    json_files.write(out / f"{name}-{FLAGS.variant}-seed{FLAGS.seed}.json", result)
    print(f"{FLAGS.num_samples:,} samples add {difference:.3f} ± {error:.3f} nats to log p(x), on {len(rows)} images.")


if __name__ == "__main__":
    app.run(main)
