"""The README says what the result files and the code say."""

import pathlib
import re

import keras
import numpy as np

import tfp_iaf
from benchmarks import readme_tables

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text()


def test_tables_are_those_of_the_result_files():
    assert readme_tables.with_tables(README) == README


def test_first_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(import keras, tfp_iaf.*?)```", README, flags=re.S)[1]
    images = (np.random.default_rng(0).random([64, 28, 28]) < 0.3).astype(np.uint8)
    names = {"x_train": images, "x_valid": images[:32], "x_test": images[:8]}
    smaller = code.replace("epochs=10", "epochs=1, verbose=0").replace("num_samples=128", "num_samples=4, verbose=False")
    exec(smaller, names)
    assert isinstance(names["model"], tfp_iaf.VAE)
    assert isinstance(names["model"], keras.Model)
    assert (tmp_path / "saved_model" / "saved_model.pb").exists()
