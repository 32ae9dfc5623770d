"""Disks that are really full, or read-only: one line, exit code 1, and nothing lost."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests.examples.test_train_vae import binary_images, command

pytestmark = pytest.mark.long
MEBIBYTE = 2**20


@pytest.fixture
def disk(tmp_path):
    """A disk of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder, left):
    """Fills the disk but for so many bytes."""
    (folder / "ballast").write_bytes(bytes(max(0, shutil.disk_usage(folder).free - left)))


def one_line(process):
    lines = [line for line in process.stderr.splitlines() if line and not line.startswith(("WARNING: All log", "I0000"))]
    assert process.returncode == 1
    assert len(lines) == 1, process.stderr[-3000:]
    return lines[0]


def train(data, logdir, epochs):
    flags = [
        "--posterior=diagonal",
        "--batch_size=10",
        "--latent_size=3",
        "--hidden_units=64,64",
        "--importance_samples=8",
        "--nojit_compile",
    ]
    return subprocess.run(
        command(*flags, f"--data={data}", f"--logdir={logdir}", f"--epochs={epochs}"),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("left", [0, 30_000, 200_000])
def test_a_run_whose_disk_fills_up(disk, tmp_path, left):
    data = binary_images(tmp_path / "data.npz")
    assert train(data, disk / "run", 3).returncode == 0
    unbroken = train(data, tmp_path / "unbroken", 6)
    assert unbroken.returncode == 0
    fill(disk, left)
    line = one_line(train(data, disk / "run", 6))
    assert "disk" in line.lower() or "space" in line.lower(), line
    (disk / "ballast").unlink()
    resumed = train(data, disk / "run", 6)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert "Resuming after 3 epochs" in resumed.stdout
    ours, expected = (
        json.loads((folder / "diagonal" / "metrics.json").read_text()) for folder in (disk / "run", tmp_path / "unbroken")
    )
    assert ours["test"] == expected["test"]


def test_a_run_on_a_read_only_disk(disk, tmp_path):
    data = binary_images(tmp_path / "data.npz")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    line = one_line(train(data, disk / "run", 1))
    assert "read-only" in line.lower(), line


WRITES = """
import pathlib, sys
import keras, numpy as np, tensorflow as tf, tfp_iaf

what, path = sys.argv[1], pathlib.Path(sys.argv[2])
x = np.random.default_rng(0).integers(0, 2, [8, 12]).astype("float32")
keras.utils.set_random_seed(0)
model = tfp_iaf.VAE(keras.layers.Dense(64, "elu"), tfp_iaf.IAF(4, hidden_units=(64, 64), seed=0), keras.layers.Dense(12))
model.compile("adam", jit_compile=False)
model.build((None, 12))
write, read = {
    "model": (lambda: model.save(path / "model.keras"), lambda: keras.models.load_model(path / "model.keras")),
    "weights": (
        lambda: model.save_weights(path / "model.weights.h5"), lambda: model.load_weights(path / "model.weights.h5")
    ),
    "export": (
        lambda: tfp_iaf.serving.export(model, path / "export", overwrite=True),
        lambda: tf.saved_model.load(str(path / "export")),
    ),
    "distributed": (
        lambda: tfp_iaf.distributed.fit(
            model, x, batch_size=4, epochs=1, checkpoint=path / "checkpoint" / str(len(list(path.iterdir()))), verbose=0
        ),
        lambda: None,
    ),
}[what]
if sys.argv[3] == "first":
    write()
else:
    try:
        write()
    except OSError as error:
        assert str(error).count("\\n") == 0, error
        print(error)
    else:
        print("written")
    read()
"""


@pytest.mark.parametrize("read_only", [False, True], ids=["full", "read-only"])
@pytest.mark.parametrize("what", ["model", "weights", "export", "distributed"])
def test_writes_without_room_keep_what_was_there(disk, what, read_only):
    def write(when):
        return subprocess.run(
            [sys.executable, "-c", WRITES, what, str(disk), when],
            capture_output=True,
            text=True,
            check=False,
            cwd=pathlib.Path(__file__).parents[1],
        )

    first = write("first")
    assert first.returncode == 0, first.stderr[-2000:]
    before = {path.relative_to(disk) for path in disk.rglob("*")}
    if read_only:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    else:
        fill(disk, 20_000)
    second = write("second")
    assert second.returncode == 0, second.stderr[-2000:]
    assert "written" not in second.stdout
    assert {path.relative_to(disk) for path in disk.rglob("*")} - {pathlib.Path("ballast")} == before
