"""A folder is whole at every moment, whoever is killed."""

import os
import signal
import subprocess
import sys

import pytest

from tests.imports import ROOT
from tfp_iaf import _folders
from tfp_iaf._folders import written_beside


def write(path, content, num_files=3):
    with written_beside(path) as folder:
        folder.mkdir()
        for k in range(num_files):
            (folder / str(k)).write_text(content)


def contents(path):
    return {file.read_text() for file in path.iterdir()}


def test_an_error_leaves_the_old_folder_and_nothing_else(tmp_path):
    write(tmp_path / "model", "old")
    with pytest.raises(OSError, match="disk full"), written_beside(tmp_path / "model") as folder:
        folder.mkdir()
        raise OSError("disk full")
    assert contents(tmp_path / "model") == {"old"}
    assert os.listdir(tmp_path) == ["model"]


def test_a_first_write_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="disk full"), written_beside(tmp_path / "model") as folder:
        folder.mkdir()
        raise OSError("disk full")
    assert not os.listdir(tmp_path)


def test_the_exchange_is_no_two_renames(tmp_path, monkeypatch):
    write(tmp_path / "model", "old")
    renames = []
    replace = os.replace
    monkeypatch.setattr(_folders.os, "replace", lambda *paths: (renames.append(paths), replace(*paths)))
    write(tmp_path / "model", "new")
    if renames:
        pytest.skip("this file system cannot exchange folders")
    assert contents(tmp_path / "model") == {"new"}


def test_without_an_exchange_of_the_file_system(tmp_path, monkeypatch):
    monkeypatch.setattr(_folders.ctypes, "CDLL", lambda *args, **kwargs: object())
    for content in ("old", "new"):
        write(tmp_path / "model", content)
    assert contents(tmp_path / "model") == {"new"}
    replace = os.replace

    def failing(source, target):
        if os.path.basename(source) == "model" and "-writing-" in str(source):
            raise OSError("disk full")
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(_folders.os, "replace", failing)
        with pytest.raises(OSError, match="disk full"):
            write(tmp_path / "model", "newer")
    assert contents(tmp_path / "model") == {"new"}
    assert os.listdir(tmp_path) == ["model"]


def test_the_mode_is_that_of_a_new_folder(tmp_path):
    write(tmp_path / "model", "new")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "model").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_kills_at_any_moment_leave_a_whole_folder(tmp_path):
    """The process writes again and again; after each kill the folder is whole, and the next process clears up."""
    # Without the rest of the package, whose import takes seconds.
    script = f"""
import importlib.util, pathlib, itertools
spec = importlib.util.spec_from_file_location("_folders", {str(ROOT / "tfp_iaf" / "_folders.py")!r})
_folders = importlib.util.module_from_spec(spec)
spec.loader.exec_module(_folders)
for number in itertools.count():
    with _folders.written_beside(pathlib.Path({str(tmp_path / "model")!r})) as folder:
        folder.mkdir()
        for k in range(20):
            (folder / str(k)).write_text(str(number))
    print(number, flush=True)
"""
    for attempt in range(20):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(1 + attempt):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert len(list((tmp_path / "model").iterdir())) == 20
        assert len(contents(tmp_path / "model")) == 1
    write(tmp_path / "model", "last")
    assert os.listdir(tmp_path) == ["model"]


def test_folders_of_living_processes_stay(tmp_path):
    with written_beside(tmp_path / "model") as folder:
        folder.mkdir()
        (folder / "0").write_text("slow")
        write(tmp_path / "model", "quick")
        assert folder.exists()
    assert contents(tmp_path / "model") == {"slow"}
