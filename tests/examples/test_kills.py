"""Runs that are killed again and again, with XLA, and inside every kind of write, end as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import time

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.examples.test_train_vae import binary_images, command

FLAGS = [
    "--posterior=iaf",
    "--epochs=40",
    "--batch_size=10",
    "--latent_size=3",
    "--hidden_units=8",
    "--flow_hidden_units=8",
    "--importance_samples=8",
    "--kl_warm_up_steps=100",
    "--decay_to=0.1",
    "--ema=0.9",
    "--keep_best",
    "--jit_compile",
]
# While a file of such a name is there, beside what it will become. None: at a random moment.
TRAINING = ("checkpoint/writing-latest.weights.h5", "checkpoint/writing-best.weights.h5", "checkpoint/writing-", None)
AFTERWARDS = (
    ".model.keras-writing-",
    ".saved_model-writing-",
    "metrics",
    ".saved_model-writing-",
    ".model.keras-writing-",
    None,
)
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def wait_until(condition, process):
    """Whether the condition came true; False if the process ended before."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.0005)
    return False


def is_written(folder, beginning):
    parent, _, name = beginning.rpartition("/")
    try:
        return any(entry.startswith(name) for entry in os.listdir(folder / parent))
    except FileNotFoundError:
        return False


def epochs_done(folder):
    try:
        return len(json.loads((folder / "checkpoint" / "history.json").read_text()))
    except FileNotFoundError:
        return 0


def check_artifacts(folder):
    """What is there is whole."""
    if (folder / "model.keras").exists():
        keras.models.load_model(folder / "model.keras")
    if (folder / "saved_model").exists():
        tf.saved_model.load(str(folder / "saved_model"))
    for path in folder.rglob("*.json"):
        if not path.name.startswith("writing-"):
            json.loads(path.read_text())


def weights(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.__setitem__(name, item[...]) if isinstance(item, h5py.Dataset) else None)
    return found


@pytest.mark.long
def test_twenty_kills(tmp_path):
    rng = random.Random(0)
    data = binary_images(tmp_path / "data.npz")
    unbroken = subprocess.Popen(command(*FLAGS, f"--data={data}", f"--logdir={tmp_path / 'unbroken'}"), **QUIET)
    folder = tmp_path / "killed" / "iaf"
    moments = [TRAINING[k % len(TRAINING)] for k in range(14)] + list(AFTERWARDS)
    kills = []
    for number, moment in enumerate(moments):
        process = subprocess.Popen(command(*FLAGS, f"--data={data}", f"--logdir={folder.parent}"), **QUIET)
        before = epochs_done(folder)
        if number < 14:
            assert wait_until(lambda start=before: epochs_done(folder) > start, process)
        if moment is None:
            time.sleep(rng.uniform(0.0, 0.2 if number < 14 else 8.0))
            hit = process.poll() is None
        else:
            hit = wait_until(lambda name=moment: is_written(folder, name), process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills.append((moment, hit, epochs_done(folder)))
        check_artifacts(folder)
    print(kills)
    assert sum(hit for _, hit, _ in kills) >= 18  # A run whose last file was there at once had ended.
    last = subprocess.run(
        command(*FLAGS, f"--data={data}", f"--logdir={folder.parent}"), capture_output=True, text=True, check=False
    )
    assert last.returncode == 0, last.stderr[-2000:]
    assert unbroken.wait() == 0
    theirs = tmp_path / "unbroken" / "iaf"
    ours, expected = (json.loads((each / "metrics.json").read_text()) for each in (folder, theirs))
    assert ours["test"] == expected["test"]
    for name in ("latest.weights.h5", "best.weights.h5"):
        found, wanted = (weights(each / "checkpoint" / name) for each in (folder, theirs))
        assert set(found) == set(wanted)
        for key, value in found.items():
            np.testing.assert_array_equal(value, wanted[key], err_msg=key)
    check_artifacts(folder)
    assert not [path for path in folder.rglob("*") if "writing-" in path.name]
