"""Runs one variant of a study with one seed, and writes its result file.

    python -m benchmarks.study small-mlp-ours --variant=iaf --seed=0 --data=images.npz

The studies are those of `benchmarks/studies/`. A run that was stopped, however, goes on where it was when the same command is
given again: while training, from the last validation; while evaluating, from the last images. The result is
benchmarks/results/studies/STUDY/VARIANT-seedS.json; where that file is, nothing is run.
"""

# ruff: noqa: E402

import functools
import importlib
import json
import pathlib
import sys

from absl import app, flags, logging

ROOT = pathlib.Path(__file__).resolve().parents[1]
# The second, since the examples import one another by bare names.
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

from benchmarks import studies

FLAGS = flags.FLAGS
flags.DEFINE_string("variant", "iaf", "Variant of the study.")
flags.DEFINE_integer("seed", 0, "Seed of weights, noise and data order.", lower_bound=0)
flags.DEFINE_string("data", None, "digits, an .npz file of binary images, or for natural-images a folder or .zip file.")
flags.DEFINE_string("workdir", "runs/studies", "Folder of the checkpoints, which go to STUDY/VARIANT-seedS in it.")
flags.DEFINE_string("results", str(ROOT / "benchmarks" / "results" / "studies"), "Folder of the result files.")
flags.register_validator(
    "data",
    lambda source: source is not None and (source == "digits" or pathlib.Path(source).exists()),
    message="expected digits, or the path of data",
)

if __name__ == "__main__":
    app.define_help_flags()
    given = app.parse_flags_with_usage(sys.argv)[1:]  # The imports below take seconds.
    if len(given) != 1 or given[0] not in studies.NAMES:
        error = f"Expected one study, of {', '.join(studies.NAMES)}; got: {' '.join(given) or 'none'}"
        app.usage(shorthelp=True, detailed_error=error, exitcode=1)

import checkpoints
import datasets
import keras
import optimizers
import training
import validations
from json_files import write
from provenance import provenance

from benchmarks.studies import evaluation

# What may change when a run is continued: it changes the speed or the evaluation alone.
NOT_OF_THE_CHECKPOINT = ("jit_compile", "steps_per_execution", "elbo_samples", "importance_samples")


def make_model(study, settings, data_shape, seed):
    """The built and compiled model."""
    keras.utils.set_random_seed(seed)
    model = study.make_model(settings, data_shape, seed)
    model.build((None, *data_shape))
    if hasattr(study, "make_optimizer"):
        optimizer = study.make_optimizer(settings)
    else:
        named = ("learning_rate", "decay_to", "steps", "ema")
        optimizer = optimizers.make(settings["optimizer"], **{name: settings[name] for name in named})
    model.compile(optimizer, jit_compile=settings["jit_compile"], steps_per_execution=settings["steps_per_execution"])
    return model


def train(study, settings, splits, seed, folder, callbacks=()):
    """(the model with the weights of the best validation bound, the history): trains, from the checkpoint if there is one."""
    model = make_model(study, settings, splits["x_train"].shape[1:], seed)
    initialize = getattr(study, "initialize", None)
    history = training.fit(
        model,
        splits,
        folder,
        batch_size=settings["batch_size"],
        seed=seed,
        epochs=None,
        steps=settings["steps"],
        steps_per_validation=settings["steps_per_validation"],
        patience=settings["patience"],
        kl_warm_up_steps=settings["kl_warm_up_steps"],
        keep_best=True,
        initialize=initialize and functools.partial(initialize, x_train=splits["x_train"], seed=seed),
        settings={
            **{name: value for name, value in settings.items() if name not in NOT_OF_THE_CHECKPOINT},
            "seed": seed,
            "training_images": len(splits["x_train"]),
        },
        callbacks=callbacks,
    )
    return model, history


def load_data(study, source):
    """The splits of a study's data."""
    return getattr(study, "load_data", datasets.load)(source)


def finished(argv):
    """(name, model, splits, folder) of a run that has ended, named by a command line; the weights are those evaluated.

    Raises:
        app.UsageError: for anything but one study in `argv`.
        SystemExit: in one line, for a run that has not ended.
    """
    if len(argv) != 2 or argv[1] not in studies.NAMES:
        raise app.UsageError(f"Expected one study, of {', '.join(studies.NAMES)}; got: {' '.join(argv[1:]) or 'none'}")
    name = argv[1]
    study = importlib.import_module(studies.module_name(name))
    folder = pathlib.Path(FLAGS.workdir) / name / f"{FLAGS.variant}-seed{FLAGS.seed}"
    try:
        settings = {**studies.settings_of(study, FLAGS.variant), "jit_compile": False}
        splits = load_data(study, FLAGS.data)
        if not evaluation.is_complete(folder / "evaluated.npy", splits["x_test"]):
            raise ValueError(f"{folder} holds no run that has ended: run `python -m benchmarks.study {name}` first.")
        model = make_model(study, settings, splits["x_train"].shape[1:], FLAGS.seed)
        model.optimizer.build(model.trainable_variables)
        checkpoints.Checkpoints(folder / "checkpoint", settings["steps_per_validation"]).restore_best(model)
    except ValueError as error:
        sys.exit(f"{name}: {error}")
    return name, model, splits, folder


def first_origin(folder):
    """The provenance of a run's first start, with the commit and the machine on which it now goes on where these are others."""
    origin, path = provenance(), folder / "origin.json"
    if not path.exists():
        write(path, origin)
    first = json.loads(path.read_text())
    names = {"commit": "continued_with", "machine": "continued_on"}
    return first | {name: origin[key] for key, name in names.items() if first[key] != origin[key]}


def run(name, study, variant, seed, splits, data_name, folder, path):
    """Trains and evaluates, and writes the result file; returns its content.

    Args:
        name, study: of the study, and its module.
        variant, seed: of the run.
        splits, data_name: the data, and how the result file calls them.
        folder: of the checkpoint and of what is evaluated so far.
        path: of the result file.

    Raises:
        ValueError: in one line, for an unknown variant, or a folder or a file of other settings.
    """
    settings = studies.settings_of(study, variant)
    if path.exists():
        result = json.loads(path.read_text())
        if result["config"] != settings:
            raise ValueError(f"{path} is the result of other settings: remove it, or choose another --results.")
        return result
    if (
        settings["steps"] % settings["steps_per_validation"]
        or settings["steps_per_validation"] % settings["steps_per_execution"]
    ):
        raise ValueError("steps must be a multiple of steps_per_validation, and that of steps_per_execution.")
    folder.mkdir(parents=True, exist_ok=True)
    origin = first_origin(folder)
    model, history = train(study, settings, splits, seed, folder)
    test = evaluation.evaluate(
        model,
        splits["x_test"],
        folder / "evaluated.npy",
        elbo_samples=settings["elbo_samples"],
        importance_samples=settings["importance_samples"],
        report=functools.partial(print, flush=True),
    )
    seconds = None if "continued_on" in origin else training.median_seconds_per_step(history)
    result = {
        "study": name,
        "variant": variant,
        "seed": seed,
        "data": data_name,
        "data_shape": list(splits["x_test"].shape[1:]),
        "config": settings,
        "parameters": training.num_parameters(model),
        "steps": history[-1]["step"],
        "seconds_per_1000_steps": None if seconds is None else 1000.0 * seconds,
        "validation_elbo": {**validations.summary(history), "best_step": validations.best(history)["step"]},
        "test": evaluation.summary(test),
        **origin,
        "command": f"python -m benchmarks.study {name} --variant={variant} --seed={seed} --data={data_name}",
        "history": [{key: round(value, 4) for key, value in row.items()} for row in history],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, result)
    return result


def main(argv):
    logging.set_verbosity(logging.ERROR)  # TensorFlow takes the last, smaller batch of an evaluation for retracing.
    name = argv[1]
    run_name = f"{FLAGS.variant}-seed{FLAGS.seed}"
    path = pathlib.Path(FLAGS.results) / name / f"{run_name}.json"
    study = importlib.import_module(studies.module_name(name))
    try:
        result = run(
            name,
            study,
            FLAGS.variant,
            FLAGS.seed,
            load_data(study, FLAGS.data),
            pathlib.Path(FLAGS.data).name,
            pathlib.Path(FLAGS.workdir) / name / run_name,
            path,
        )
    except ValueError as error:
        sys.exit(f"study: {error}")
    bound, log_likelihood = (training.with_error(result["test"][key]) for key in ("elbo", "log_likelihood"))
    print(f"{name}, {run_name}: test bound {bound}, log p(x) {log_likelihood} nats. The result is in {path}.")


if __name__ == "__main__":
    app.run(main)
