"""The training example as its users run it: in a process of its own."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
import warnings
import zipfile

import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def command(*flags):
    return [sys.executable, str(EXAMPLES / "train_vae.py"), *flags]


def run(*flags):
    return subprocess.run(command(*flags), capture_output=True, text=True, check=False)


def binary_images(path, **replacements):
    rng = np.random.default_rng(0)
    splits = {name: (rng.random([40, 4, 4]) < 0.5).astype(np.uint8) for name in ("x_train", "x_valid", "x_test")}
    np.savez(path, **{**splits, **replacements})
    return path


def truncated(path):
    binary_images(path)
    path.write_bytes(path.read_bytes()[:-200])


def damaged_inside(path):
    """A zip whose directory is whole but whose data are not."""
    binary_images(path)
    content = bytearray(path.read_bytes())
    content[60:400] = bytes(340)
    path.write_bytes(content)


def with_pickles(path):
    binary_images(path, x_train=np.array([{"a": 1}], dtype=object))


def with_grey_images(path):
    binary_images(path, x_test=np.full([3, 4, 4], 0.5))


def with_nan(path):
    binary_images(path, x_valid=np.full([3, 4, 4], np.nan))


def with_other_sizes(path):
    binary_images(path, x_valid=np.zeros([3, 5, 4]))


def with_an_array_missing(path):
    with zipfile.ZipFile(binary_images(path)) as file:
        kept = [(name, file.read(name)) for name in file.namelist() if name != "x_test.npy"]
    with zipfile.ZipFile(path, "w") as file:
        for name, content in kept:
            file.writestr(name, content)


def npy(header, content=b""):
    """An .npy file of this header."""
    text = repr(header).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def with_a_claim_of_terabytes(path):
    with zipfile.ZipFile(binary_images(path), "a") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The name is there twice: the last one counts.
        file.writestr("x_train.npy", npy({"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6)}))


def bomb(path):
    """An array of 2 GiB of zeros, packed into 2 MiB: only the directory of the zip says how long it is."""
    with zipfile.ZipFile(binary_images(path)) as file:
        kept = [(name, file.read(name)) for name in file.namelist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in kept:
            file.writestr(name, content)
        file.getinfo("x_test.npy").file_size = 2**31


def single_array(path):
    path.write_bytes(npy({"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6)}))


BAD_FILES = {
    with_a_claim_of_terabytes: "x_train.npy claims 1,000,000,000,000 bytes, and has 0",
    bomb: "the arrays would take 2,048 MiB, more than 1,024",
    single_array: "not a readable .npz",
    truncated: "not a readable .npz",
    damaged_inside: "not a readable .npz",
    with_pickles: "not a readable .npz",
    with_grey_images: "x_test holds values other than 0 and 1",
    with_nan: "x_valid holds values other than 0 and 1",
    with_other_sizes: "same ... in every split",
    with_an_array_missing: "lacks x_test",
}


@pytest.mark.parametrize(("make", "message"), BAD_FILES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_bad_files_raise_one_line(make, message, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import datasets

    path = tmp_path / "data.npz"
    make(path)
    with pytest.raises(ValueError, match=message) as error:
        datasets.load(str(path))
    assert "\n" not in str(error.value)


def test_batches_go_on_where_they_were(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import datasets

    x = np.arange(10)
    whole = list(datasets.batches(x, 3, seed=1).take(12).as_numpy_iterator())
    rest = list(datasets.batches(x, 3, seed=1, first_step=5).take(7).as_numpy_iterator())
    np.testing.assert_array_equal(whole[5:], rest)
    # A pass of three full batches has no image twice, and passes differ.
    passes = [np.concatenate(whole[i : i + 3]) for i in range(0, 12, 3)]
    assert all(len(set(one)) == 9 for one in passes)
    assert len({tuple(one) for one in passes}) == 4


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data=nowhere.npz"], "expected digits, mnist, or the path"),
        (["--posterior=diagonal,flow"], "expected a comma-separated list of diagonal, full_covariance, iaf"),
        (["--prior=normal"], "expected a comma-separated list of standard_normal, autoregressive_flow, vamp"),
        (["--no_such_flag"], "Unknown command line flag 'no_such_flag'"),
    ],
)
def test_bad_flags_end_in_one_line_and_write_nothing(flags, message, tmp_path):
    logdir = tmp_path / "run"
    result = run(*flags, f"--logdir={logdir}")
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not logdir.exists()


def test_every_program_has_help():
    # Each has --smoke, and so is run by `make smoke` or a test; but the one that reads what another wrote.
    programs = [path for path in EXAMPLES.glob("*.py") if "import command_line" in path.read_text()]
    for path in [*programs, EXAMPLES / "serve_vae.py"]:
        result = subprocess.run([sys.executable, str(path), "--help"], capture_output=True, text=True, check=False)
        assert result.returncode == 0, path.name
        assert not result.stderr, path.name
        assert ("--[no]smoke" in result.stdout) == (path.name != "serve_vae.py"), path.name
        if path.name == "train_image_vae.py":
            assert "cifar-small: 32; cifar-paper: 160" in " ".join(result.stdout.replace("cifar-\n    ", "cifar-").split())


def test_importing_tensorflow_leaves_out_its_start_up_lines_alone(monkeypatch, capfd):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import command_line

    def import_module(name):
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n")
        os.write(2, b"I0000 00:00:1795669436.586178   31958 cudart_stub.cc:31] Could not find cuda drivers on your machine\n")
        print("something else", file=sys.stderr)
        raise ImportError(name)

    monkeypatch.setattr(command_line.importlib, "import_module", import_module)
    with pytest.raises(ImportError):
        command_line.import_tensorflow()
    assert capfd.readouterr().err == "something else\n"


def test_progress_is_a_bar_in_a_terminal_and_ten_lines_in_a_file(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from progress import Progress

    def shown():
        callback = Progress("elbo", "val_elbo")
        callback.set_params({"epochs": 40})
        callback.set_model(types.SimpleNamespace(stop_training=False))
        callback.on_train_begin()
        for epoch in range(20, 40):  # A resumed run.
            callback.on_epoch_end(epoch, {"elbo": -epoch, "kl": 1.0})
        return capsys.readouterr().out

    text = shown()
    assert text.splitlines() == [f"epoch {done} of 40: elbo {1 - done:.2f}" for done in (24, 28, 32, 36, 40)]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert shown().count("\n") == 1


def test_a_wrong_flag_is_refused_before_tensorflow_is_imported():
    for name in (
        "train_vae",
        "train_image_vae",
        "train_conditional_vae",
        "fit_banana",
        "fit_density",
        "fit_conditional_density",
        "fit_joint_distribution",
        "latent_space",
        "energies",
        "hamiltonian_vae",
    ):
        script = f"""
import runpy, sys
sys.argv = [{str(EXAMPLES / name)!r} + ".py", "--seed=-1"]
sys.path.insert(0, {str(EXAMPLES)!r})
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("imported", {{"tensorflow", "keras"}} & set(sys.modules))
"""
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert result.returncode != 0
        assert "flag --seed=-1" in result.stderr
        assert result.stdout.strip() == "imported set()", name


def test_a_run_is_not_continued_with_other_settings(tmp_path):
    """One process for all flags: each is given to `kept_settings` beside a checkpoint of the defaults."""
    data = binary_images(tmp_path / "data.npz")
    script = f"""
import sys
sys.path.insert(0, {str(EXAMPLES)!r})
import pathlib
import checkpoints, datasets, train_vae

splits = datasets.load("digits")

def settings(*flags):
    train_vae.FLAGS.unparse_flags()
    train_vae.FLAGS(["train_vae", *DEFAULTS, *flags])
    return train_vae.kept_settings(splits)

DEFAULTS = ["--seed=0", "--learning_rate=0.002", "--batch_size=128", "--activation=elu", "--optimizer=adamax", "--data=digits",
            "--num_flows=2", "--kl_warm_up_steps=0", "--epochs=20", "--keep_best=false", "--decay_to=1", "--ema=0",
            "--free_bits=0", "--patience=3"]
folder = pathlib.Path({str(tmp_path / "checkpoint")!r})
assert checkpoints.Checkpoints(folder, 10, settings()).restore(None) == 0
(folder / "latest.weights.h5").touch()
for flag in ("seed=1", "learning_rate=0.001", "batch_size=64", "activation=relu", "optimizer=adam", "data={data}",
             "num_flows=3", "kl_warm_up_steps=10", "decay_to=0.1", "ema=0.9", "free_bits=0.1", "epochs=40", "patience=4",
             "keep_best=true"):
    try:
        checkpoints.Checkpoints(folder, 10, settings("--" + flag)).check()
        print("accepted", flag)
    except ValueError as error:
        assert "\\n" not in str(error) and "choose another --logdir" in str(error), error
        print("refused", flag)
# A rate that falls depends on the number of steps.
decaying = pathlib.Path({str(tmp_path / "decaying")!r})
checkpoints.Checkpoints(decaying, 10, settings("--decay_to=0.1")).restore(None)
(decaying / "latest.weights.h5").touch()
try:
    checkpoints.Checkpoints(decaying, 10, settings("--decay_to=0.1", "--epochs=40")).check()
except ValueError as error:
    print("refused", error)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    accepted = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("accepted")]
    assert accepted == ["epochs=40", "patience=4", "keep_best=true"]
    assert result.stdout.count("refused") == 12


@pytest.mark.long
def test_a_killed_run_resumes_and_ends_as_the_unbroken_one(tmp_path):
    data = binary_images(tmp_path / "data.npz")
    flags = [
        f"--data={data}",
        # The flows' weights and noise: `test_vae.py`.
        "--posterior=diagonal",
        "--epochs=60",
        "--batch_size=10",
        "--latent_size=3",
        "--hidden_units=8",
        "--importance_samples=8",
        "--kl_warm_up_steps=100",
        "--decay_to=0.1",
        "--ema=0.9",
        "--free_bits=0.01",
    ]
    folder = tmp_path / "killed" / "diagonal"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    unbroken = subprocess.Popen(command(*flags, f"--logdir={tmp_path / 'unbroken'}"), **quiet)
    process = subprocess.Popen(command(*flags, f"--logdir={folder.parent}"), **quiet)
    history = folder / "checkpoint" / "history.json"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (history.exists() and len(json.loads(history.read_text())) >= 3):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "metrics.json").exists()
    resumed = run(*flags, f"--logdir={folder.parent}")
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert "Resuming after" in resumed.stdout
    assert unbroken.wait() == 0
    ours, theirs = (json.loads((tmp_path / name / "diagonal" / "metrics.json").read_text()) for name in ("killed", "unbroken"))
    assert ours["test"] == theirs["test"]
    assert ours["steps"] == theirs["steps"] == 240
    for name in ("curves.png", "samples.png", "reconstructions.png", "model.keras", "saved_model"):
        assert (folder / name).exists()
