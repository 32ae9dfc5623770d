"""The runner of the studies, on a study of seconds."""

import importlib
import json
import math
import types

import h5py
import keras
import numpy as np
import pytest

from benchmarks import studies, study  # The second puts the folder of the examples on the path.

# isort: split
import early_stopping
import optimizers
import validations

from benchmarks.studies import natural_images, small_mlp_ours
from tfp_iaf import evaluation

TINY = {
    "latent_size": 2,
    "hidden_units": [8],
    "flow_hidden_units": [8],
    "batch_size": 10,
    "learning_rate": 0.1,
    "steps": 80,
    "patience": 1,
    "steps_per_validation": 4,
    "steps_per_execution": 1,
    "jit_compile": False,
    "elbo_samples": 2,
    "importance_samples": 4,
    "ema": 0.9,
}
SPLITS = {
    name: (np.random.default_rng(k).random([30, 3, 4]) < 0.4).astype(np.uint8)
    for k, name in enumerate(("x_train", "x_valid", "x_test"))
}


def tiny(**settings):
    return types.SimpleNamespace(
        SETTINGS=small_mlp_ours.SETTINGS | TINY | settings,
        VARIANTS={"diagonal": {"posterior": "diagonal"}},
        make_model=small_mlp_ours.make_model,
    )


def test_the_hierarchical_models_of_natural_images_train_on_what_their_loader_reads(tmp_path):
    splits = {name: x[:20] for name, x in natural_images.load_data("digits").items()}
    tiny_model = {"num_layers": [2], "filters": 8, "latent_channels": 2, "patch_size": 2, "steps": 4}
    a_study = types.SimpleNamespace(
        SETTINGS=natural_images.SETTINGS | {name: TINY[name] for name in TINY if name in studies.DEFAULTS} | tiny_model,
        VARIANTS=natural_images.VARIANTS,
        **{name: getattr(natural_images, name) for name in ("make_model", "initialize")},
    )
    for variant in ("diagonal", "iaf-bottom-up"):
        path = tmp_path / f"{variant}.json"
        result = study.run("natural-images", a_study, variant, 0, splits, "digits", tmp_path / variant, path)
        assert result["test"]["images"] == 20
        assert result["history"][-1]["step"] == 4


VARIANTS = [
    (name, variant) for name in studies.NAMES for variant in importlib.import_module(studies.module_name(name)).VARIANTS
]


@pytest.mark.long
@pytest.mark.parametrize("name, variant", VARIANTS)
def test_every_variant_makes_a_model(name, variant):
    a_study = importlib.import_module(studies.module_name(name))
    shape = (32, 32, 3) if name == "natural-images" else (28, 28)
    model = study.make_model(a_study, studies.settings_of(a_study, variant), shape, seed=0)
    x = np.random.default_rng(0).integers(0, 256 if name == "natural-images" else 2, [2, *shape]).astype(np.uint8)
    assert np.isfinite(evaluation.elbo(model, x, num_samples=1, verbose=False)).all()


class Killed(keras.callbacks.Callback):
    """Ends a run in the middle of an epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) >= 6:
            raise KeyboardInterrupt


def run(folder, a_study=None):
    path = folder / "results" / "diagonal-seed0.json"
    return study.run("tiny", a_study or tiny(), "diagonal", 0, SPLITS, "images.npz", folder / "run", path)


@pytest.mark.long
def test_a_killed_run_ends_with_the_weights_and_figures_of_an_unbroken_one(tmp_path, monkeypatch):
    monkeypatch.setattr(study.evaluation, "IMAGES_PER_PIECE", 20)
    origin = {"commit": "first", "versions": {}, "machine": {}, "command": "secret"}
    monkeypatch.setattr(study, "provenance", lambda: origin)
    killed_folder, settings = tmp_path / "killed", studies.settings_of(tiny(), "diagonal")
    (killed_folder / "run").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt):
        study.train(tiny(), settings, SPLITS, 0, killed_folder / "run", callbacks=[Killed()])
    assert [row["step"] for row in json.loads((killed_folder / "run/checkpoint/history.json").read_text())] == [4]
    with pytest.raises(ValueError, match=r"learning_rate was 0.1, now 0.001") as error:
        run(killed_folder, tiny(learning_rate=1e-3))
    assert "\n" not in str(error.value)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("builtins.print", lambda *line, **_: kill_at_progress(line[0]))
        run(killed_folder)
    assert np.load(killed_folder / "run/evaluated.npy").shape == (3, 20)
    # The result names the commit that went on, where it is another.
    monkeypatch.setattr(study, "provenance", lambda: origin | {"commit": "second"})
    killed, unbroken = run(killed_folder), run(tmp_path / "unbroken")
    assert (killed["commit"], killed["continued_with"]) == ("first", "second")
    assert killed["test"] == unbroken["test"]
    np.testing.assert_equal(*(weights(tmp_path / name / "run/checkpoint") for name in ("killed", "unbroken")))
    assert [row["val_elbo"] for row in killed["history"]] == [row["val_elbo"] for row in unbroken["history"]]

    assert set(killed) >= {"config", "commit", "versions", "machine", "parameters", "seconds_per_1000_steps"}
    assert killed["config"] == settings
    assert killed["command"] == "python -m benchmarks.study tiny --variant=diagonal --seed=0 --data=images.npz"
    # It ended early, at the second validation after the best.
    assert [row["step"] for row in killed["history"]] == list(range(4, killed["steps"] + 1, 4))
    assert 12 < killed["steps"] == killed["validation_elbo"]["best_step"] + 8 < 80
    assert killed["test"]["log_likelihood"]["mean"] >= killed["test"]["elbo"]["mean"] - 0.1
    assert 1.0 <= killed["test"]["log_likelihood"]["effective_sample_size"] <= 4.0
    # Where there is a result, nothing is run.
    assert run(killed_folder) == killed == json.loads((killed_folder / "results/diagonal-seed0.json").read_text())
    with pytest.raises(ValueError, match="result of other settings"):
        run(killed_folder, tiny(learning_rate=1e-3))


def kill_at_progress(line):
    if "test images" in line:
        raise KeyboardInterrupt


def test_early_stopping_counts_the_validations_since_the_best():
    history = [{"val_elbo": bound} for bound in (-9.0, -1.0, -9.0, math.nan)]
    assert validations.without_gain(history) == 2
    assert validations.without_gain([]) == 0
    stopping = early_stopping.EarlyStopping(history, patience=2)
    stopping.set_model(types.SimpleNamespace(stop_training=False))
    for last, is_over in ((-1.0, True), (-0.5, False)):
        history.append({"val_elbo": last})
        stopping.model.stop_training = False
        stopping.on_epoch_end(0)
        assert stopping.is_over == stopping.model.stop_training == is_over


def test_the_rate_falls_linearly_to_a_fraction():
    optimizer = optimizers.make("adamax", 2e-3, decay_to=0.01, steps=100, ema=0.9)
    assert (optimizer.use_ema, optimizer.ema_momentum) == (True, 0.9)
    rates = []
    for step in (0, 50, 100, 150):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    np.testing.assert_allclose(rates, [2e-3, 1.01e-3, 2e-5, 2e-5], rtol=1e-5)
    assert not optimizers.make("rmsprop", 1e-3).use_ema


@pytest.mark.parametrize("name", studies.NAMES)
def test_every_study_says_what_a_run_needs(name):
    module = importlib.import_module(studies.module_name(name))
    for variant in module.VARIANTS:
        settings = studies.settings_of(module, variant)
        assert settings == json.loads(json.dumps(settings))
        assert settings.keys() == studies.settings_of(module, next(iter(module.VARIANTS))).keys()
        assert settings["steps"] % settings["steps_per_validation"] == 0
        assert settings["steps_per_validation"] % settings["steps_per_execution"] == 0
    with pytest.raises(ValueError, match="--variant=other: expected one of diagonal"):
        studies.settings_of(module, "other")


def weights(folder):
    """All that is in the latest weights file of a folder: of model, optimizer and noise."""
    values = {}
    with h5py.File(folder / "latest.weights.h5") as file:
        file.visititems(lambda name, item: values.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    assert values
    return values
