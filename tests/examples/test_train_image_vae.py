"""The image example: its data in-process, its runs as users start them, in a process of their own."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

ROOT = pathlib.Path(__file__).parents[2]
PICTURES_AND_MODELS = ("metrics.json", "curves.png", "samples.png", "reconstructions.png", "model.keras", "saved_model")


@pytest.fixture
def image_datasets(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import image_datasets

    return image_datasets


def command(*flags):
    return [sys.executable, str(ROOT / "examples" / "train_image_vae.py"), *flags]


def run(*flags):
    return subprocess.run(command(*flags), capture_output=True, text=True, check=False)


def image(level, size=8, encode=tf.io.encode_png):
    return encode(np.full([size, size, 3], level, np.uint8)).numpy()


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def colours(folder, levels, suffix=".png", encode=tf.io.encode_png):
    return {f"{folder}/{level:03d}{suffix}": image(level, encode=encode) for level in levels}


def levels(x):
    """The grey level of each image; JPEG keeps it to rounding."""
    return {int(one.reshape([-1]).mean().round()) for one in x}


def test_a_zip_with_train_and_test(image_datasets, tmp_path):
    files = {**colours("set/train/a", range(20)), **colours("set/test", range(100, 105)), "set/readme.txt": b"text"}
    # What macOS adds, and a name that would leave the folder if it were extracted.
    files |= {"__MACOSX/set/train/a/._000.png": b"no image", "../train.txt": b"no image"}
    images = image_datasets.load(str(zipped(tmp_path / "images.zip", files)), seed=0)
    train, valid, test = (levels(images.splits[name]) for name in ("x_train", "x_valid", "x_test"))
    assert train | valid == set(range(20)) and len(valid) == 2 and not train & valid
    assert valid != {18, 19}
    assert test == set(range(100, 105))
    assert (images.likelihood, images.note, images.shape) == ("discretized_logistic", None, (8, 8, 3))
    assert images.splits["x_train"].dtype == np.uint8
    assert list(tmp_path.iterdir()) == [tmp_path / "images.zip"]


def test_images_of_mixed_sizes_are_cut_and_scaled(image_datasets, tmp_path):
    wide = np.zeros([6, 12, 3], np.uint8)
    wide[:, 3:9] = 200  # The square in the middle.
    files = {**colours("a", range(20)), "a/wide.png": tf.io.encode_png(wide).numpy()}
    images = image_datasets.load(str(zipped(tmp_path / "mixed.zip", files)), seed=0, size=4)
    assert images.shape == (4, 4, 3)
    assert levels(np.concatenate(list(images.splits.values()))) == {*range(20), 200}
    with pytest.raises(ValueError, match=r"--size scales images of folders .* --data=digits is neither"):
        image_datasets.load("digits", seed=0, size=4)


def test_a_folder_of_jpegs_is_split_by_the_seed(image_datasets, tmp_path):
    for name, content in colours("images/deep", range(30), ".JPG", tf.io.encode_jpeg).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    first, again, other = (image_datasets.load(str(tmp_path / "images"), seed).splits for seed in (0, 0, 1))
    assert {name: len(x) for name, x in first.items()} == {"x_train": 24, "x_valid": 3, "x_test": 3}
    assert all((first[name] == again[name]).all() for name in first)
    assert levels(first["x_test"]) != levels(other["x_test"])
    assert len(set.union(*(levels(x) for x in first.values()))) == 30
    assert image_datasets.load(str(tmp_path / "images"), 0).note.startswith("decoded from JPEG")


def truncated_zip(path):
    zipped(path, colours("a", range(9)))
    path.write_bytes(path.read_bytes()[:-100])


def damaged_member(path):
    zipped(path, {**colours("a", range(9)), "a/9.png": bytes(4000)})
    content = bytearray(path.read_bytes())
    content[content.index(bytes(1000)) + 500] = 1
    path.write_bytes(content)


BAD_ZIPS = {
    "truncated zip": (truncated_zip, "not a whole .zip file"),
    "damaged member": (damaged_member, r"a/9\.png cannot be read"),
    "truncated PNG": ({"a/9.png": image(9)[:-20]}, r"a/9\.png is no whole JPEG or PNG"),
    "truncated JPEG": ({"a/9.jpg": image(9, encode=tf.io.encode_jpeg)[:-20]}, r"a/9\.jpg is no whole JPEG or PNG"),
    "text": ({"a/9.png": b"hello"}, r"a/9\.png is no whole JPEG or PNG"),
    "empty": ({"a/9.png": b""}, r"a/9\.png is no whole JPEG or PNG"),
    "other size": ({"a/9.png": image(9, size=7)}, r"a/9\.png is 7 x 7 x 3, the images before it 8 x 8 x 3: pass --size"),
    "RGBA": ({"a/!.png": tf.io.encode_png(np.zeros([8, 8, 4], np.uint8)).numpy()}, r"a/!\.png has 4 channels"),
    "beside the split": (colours("train", [1]) | colours("test", [2]), r"beside train/ and test/ there is a/000\.png"),
}


@pytest.mark.parametrize(("make", "message"), BAD_ZIPS.values(), ids=BAD_ZIPS.keys())
def test_bad_images_raise_one_line(make, message, image_datasets, tmp_path):
    path = tmp_path / "images.zip"
    if callable(make):
        make(path)
    else:
        zipped(path, {**colours("a", range(9)), **make})
    with pytest.raises(ValueError, match=message) as error:
        image_datasets.load(str(path), seed=0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"holds no \.jpg"),
        (colours("a", range(5)), "5 images are too few"),
        (colours("train", range(5)) | colours("test", range(2)), "5 images are too few"),
        (colours("train", range(9)) | colours("test", [1]), "test/ holds a single image"),
    ],
)
def test_too_few_images_raise_one_line(files, message, image_datasets, tmp_path):
    with pytest.raises(ValueError, match=message):
        image_datasets.load(str(zipped(tmp_path / "images.zip", files)), seed=0)


def test_flipped_batches_go_on_where_they_were(image_datasets):
    x = np.arange(10 * 2 * 3, dtype=np.uint8).reshape([10, 2, 3, 1])
    whole = list(image_datasets.batches(x, 4, seed=1, flip=True).take(20).as_numpy_iterator())
    rest = list(image_datasets.batches(x, 4, seed=1, first_step=5, flip=True).take(15).as_numpy_iterator())
    np.testing.assert_array_equal(whole[5:], rest)
    unflipped = list(image_datasets.batches(x, 4, seed=1).take(20).as_numpy_iterator())
    is_mirrored = [(a == b[:, ::-1]).all() for one, other in zip(whole, unflipped) for a, b in zip(one, other)]
    is_same = [(a == b).all() for one, other in zip(whole, unflipped) for a, b in zip(one, other)]
    assert all(a != b for a, b in zip(is_mirrored, is_same))
    assert 20 < sum(is_mirrored) < 60


def test_bad_flags_end_in_one_line_and_write_nothing(tmp_path):
    messages = {
        ("--preset=cifar-huge",): "should be one of <mnist-resnet|cifar-small|cifar-paper>",
        ("--preset=mnist-resnet", "--num_layers=1"): "--num_layers does not apply to the preset mnist-resnet",
    }
    logdir = tmp_path / "run"
    processes = [
        subprocess.Popen(command(*flags, f"--logdir={logdir}"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for flags in messages
    ]
    for process, message in zip(processes, messages.values()):
        errors = process.communicate()[1]
        assert process.returncode != 0
        assert message in errors
        assert "Traceback" not in errors
    assert not logdir.exists()


def test_averaged_weights_stand_in_for_a_while(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import averaging

    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    kernels = []
    for _ in range(3):
        model.train_on_batch(np.ones([4, 2]), np.ones([4, 1]))
        kernels.append(model.get_weights()[0])
    with averaging.averaged(model):
        np.testing.assert_allclose(model.get_weights()[0], 0.25 * kernels[0] + 0.25 * kernels[1] + 0.5 * kernels[2], rtol=1e-6)
    np.testing.assert_array_equal(model.get_weights()[0], kernels[2])


def test_a_checkpoint_of_other_settings_raises_one_line(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import checkpoints

    assert checkpoints.Checkpoints(tmp_path, 10, {"batch_size": 32}).restore(model=None) == 0
    (tmp_path / "latest.weights.h5").touch()
    with pytest.raises(ValueError, match=r"another run \(batch_size was 32, now 16\)"):
        checkpoints.Checkpoints(tmp_path, 10, {"batch_size": 16}).restore(model=None)


@pytest.mark.long
def test_a_killed_smoke_run_resumes_and_ends_as_the_unbroken_one(tmp_path):
    """`test_train_vae.py` kills a run with every push; the checkpoints are the same."""
    flags = ["--smoke", "--posterior=diagonal", "--epochs=15", "--num_layers=1", "--ema=0.9", "--flip"]
    flags += ["--kl_warm_up_steps=60", "--grid_epochs=15"]
    unbroken = subprocess.Popen(command(*flags, f"--logdir={tmp_path / 'unbroken'}"), stdout=subprocess.DEVNULL)
    flags = [*flags, f"--logdir={tmp_path / 'killed'}"]
    killed = subprocess.Popen(command(*flags), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    history = tmp_path / "killed" / "diagonal" / "checkpoint" / "history.json"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (history.exists() and len(json.loads(history.read_text())) >= 3):
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "diagonal" / "metrics.json").exists()
    resumed = run(*flags)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert "Resuming after" in resumed.stdout
    assert unbroken.wait() == 0
    for folder in ("killed", "unbroken"):
        for name in (*PICTURES_AND_MODELS, "grids/epoch_0015.png"):
            assert (tmp_path / folder / "diagonal" / name).exists(), f"{folder}/{name}"
    ours, theirs = (json.loads((tmp_path / name / "diagonal" / "metrics.json").read_text()) for name in ("killed", "unbroken"))
    assert ours["test"] == theirs["test"]
    assert ours["steps"] == theirs["steps"] == 90
    nats, bits = ours["test"]["elbo"]["mean"], ours["test_bits_per_dim"]["elbo"]["mean"]
    np.testing.assert_allclose(bits, -nats / (64 * np.log(2.0)))
    assert 0.0 < bits < 8.0
