"""Checkpoints of the examples: what is damaged, missing, in use or without room is refused in one line."""

import collections
import contextlib
import json
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

from tfp_iaf import VAE
from tfp_iaf.posteriors import DiagonalGaussian

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
X = (np.random.default_rng(0).random([8, 6]) < 0.5).astype("float32")


@pytest.fixture
def checkpoints(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import checkpoints

    return checkpoints


def make():
    model = VAE(keras.layers.Dense(4), DiagonalGaussian(2, seed=0), keras.layers.Dense(6))
    model.compile(keras.optimizers.Adam(), run_eagerly=True)
    model.build((None, 6))
    return model


def trained(checkpoints, folder, epochs=2):
    """The saver after so many epochs."""
    saver, model = checkpoints.Checkpoints(folder, 1, {"seed": 0}), make()
    done = saver.restore(model)
    model.fit(X, batch_size=8, validation_data=X, epochs=epochs, initial_epoch=done, callbacks=[saver], verbose=0)
    return saver


def restored(checkpoints, folder):
    saver, model = checkpoints.Checkpoints(folder, 1, {"seed": 0}), make()
    done = saver.restore(model)
    saver.restore_best(model)
    return done


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_damage_is_refused_in_one_line(checkpoints, tmp_path):
    trained(checkpoints, tmp_path / "run")
    assert restored(checkpoints, tmp_path / "run") == 2
    cases = [
        ("latest.weights.h5", flip, r"latest\.weights\.h5 is missing, damaged or .* \(its checksum is another\)"),
        ("best.weights.h5", flip, "best.weights.h5 is missing, damaged or of another model"),
        ("best.weights.h5", pathlib.Path.unlink, "best.weights.h5 is missing"),
        ("history.json", pathlib.Path.unlink, "history.json is missing"),
        ("settings.json", lambda path: path.write_text("{"), "settings.json is missing, damaged"),
        ("settings.json", lambda path: path.write_text(json.dumps({"seed": 1})), "another run .seed was 1, now 0"),
        ("checksums.json", lambda path: path.write_text("["), "checksums.json is missing, damaged"),
    ]
    for number, (name, damage, message) in enumerate(cases):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "run", folder)
        damage(folder / name)
        with pytest.raises(ValueError, match=message) as error:
            restored(checkpoints, folder)
        assert "\n" not in str(error.value)


def test_the_best_weights_after_validations_that_are_nan(checkpoints, tmp_path):
    saver, model = checkpoints.Checkpoints(tmp_path, 1), make()
    saver.restore(model)
    saver.set_model(model)
    model.optimizer.build(model.trainable_variables)
    weight = model.trainable_weights[0]
    for epoch, bound in enumerate((np.nan, -3.0, np.nan, -2.0, -2.5)):
        saver.on_epoch_begin(epoch)
        saver.on_train_batch_end(0)
        weight.assign(np.full(weight.shape, epoch))
        model.optimizer.iterations.assign(epoch + 1)
        saver.on_epoch_end(epoch, {"val_elbo": bound})
        saver.restore_best(model)
        np.testing.assert_array_equal(weight, np.full(weight.shape, (0, 1, 1, 3, 3)[epoch]))


def test_a_kill_between_two_files_leaves_a_checkpoint_that_loads(checkpoints, tmp_path, monkeypatch):
    class KilledError(Exception):
        pass

    trained(checkpoints, tmp_path, 1)
    replace = checkpoints.os.replace
    moved = []

    def until(count):
        def limited(source, target):
            if len(moved) == count:
                raise KilledError
            moved.append(target)
            replace(source, target)

        return limited

    for count in range(1, 5):
        moved.clear()
        with monkeypatch.context() as patched:
            patched.setattr(checkpoints.os, "replace", until(count))
            with contextlib.suppress(KilledError):
                trained(checkpoints, tmp_path, 2 + count)
        assert restored(checkpoints, tmp_path) >= 1


def test_a_folder_in_use_and_a_full_disk(checkpoints, tmp_path, monkeypatch):
    hold = f"import fcntl, sys; f = open({str(tmp_path / 'lock')!r}, 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True)"
    other = subprocess.Popen([sys.executable, "-c", f"{hold}; sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other.stdout.readline()
    with pytest.raises(ValueError, match="is in use by another process: wait"):
        trained(checkpoints, tmp_path, 1)
    other.communicate()
    trained(checkpoints, tmp_path, 1)
    usage = collections.namedtuple("usage", "free")(1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match=r"MiB left on its disk, .* make room"):
        trained(checkpoints, tmp_path, 2)
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(EXAMPLES))
    assert restored(checkpoints, tmp_path) == 1
