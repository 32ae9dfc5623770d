"""Milliseconds per training step of every variant of a study, interleaved in one process.

    python -m benchmarks.study_cost static-mnist --data=images.npz --seconds=0.3 --rounds=7

Every step trains on the same batch; the rest is as in `benchmarks.step_cost`. The result is STUDY.json in --out.
"""

# ruff: noqa: E402

import functools
import importlib
import pathlib
import sys

from absl import app, flags, logging

ROOT = pathlib.Path(__file__).resolve().parents[1]
# The second, since the examples import one another by bare names.
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import tensorflow as tf
from json_files import write
from provenance import provenance

from benchmarks import step_cost, studies, study, study_tables

FLAGS = flags.FLAGS
# Of the programs that this one builds on.
OTHERS = ("case", "variant", "seed", "workdir", "results")


def trainer(module, images, variant, jit_compile):
    """As `step_cost.trainer`, of a variant of a study's module."""
    settings = {**studies.settings_of(module, variant), "jit_compile": jit_compile, "steps_per_execution": 1}
    model = study.make_model(module, settings, images.shape[1:], seed=0)
    return step_cost.trainer_of(model, tf.data.Dataset.from_tensors(images[: settings["batch_size"]]).repeat())


def main(argv):
    if len(argv) != 2 or argv[1] not in studies.NAMES:
        raise app.UsageError(f"Expected one study, of {', '.join(studies.NAMES)}; got: {' '.join(argv[1:]) or 'none'}")
    for flag in OTHERS:
        if FLAGS[flag].present:
            raise app.UsageError(f"--{flag} has no effect here: every variant is measured.")
    logging.set_verbosity(logging.ERROR)  # TensorFlow takes training several models for retracing.
    name, origin = argv[1], provenance()
    module = importlib.import_module(studies.module_name(name))
    images = study.load_data(module, FLAGS.data)["x_train"]
    make_trainer = functools.partial(trainer, module, images)
    case = {"name": name, "rounds": FLAGS.rounds, "seconds": FLAGS.seconds}
    baselines = {variant: study_tables.reference_of(variant, module.VARIANTS) for variant in module.VARIANTS}
    results = step_cost.interleaved(name, make_trainer, baselines, "ratio_to_diagonal")
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    command = f"python -m benchmarks.study_cost {name} --data={pathlib.Path(FLAGS.data).name} "
    command += f"--seconds={FLAGS.seconds} --rounds={FLAGS.rounds}"
    write(out / f"{name}.json", {"case": case, "results": results, **origin, "command": command})


if __name__ == "__main__":
    app.run(main)
