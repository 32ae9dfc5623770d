"""The conditional examples as their users run them: in a process of their own."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def run(name, *flags):
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_train_conditional_vae(tmp_path):
    result = run("train_conditional_vae", "--smoke", f"--logdir={tmp_path / 'run'}")
    assert result.returncode == 0, result.stderr[-2000:]
    assert "recognises" in result.stdout
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(metrics["recognised"]["means_by_class"]) == {str(label) for label in range(10)}
    assert 0.0 <= metrics["recognised"]["means"] <= 1.0
    assert metrics["recognised"]["real_test_images"] > 0.8
    assert metrics["largest_difference_of_served_samples"] < 1e-4
    assert metrics["test"]["elbo"]["mean"] < metrics["test"]["log_likelihood"]["mean"] < 0.0
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"metrics.json", "samples.png", "model.keras", "saved_model"}


def test_labelled_files(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import datasets

    images = {f"x_{name}": np.zeros([5, 4, 4], np.uint8) for name in ("train", "valid", "test")}
    labels = {f"y_{name}": np.arange(5) for name in ("train", "valid", "test")}
    path = str(tmp_path / "data.npz")
    np.savez(path, **images, **labels)
    splits, found = datasets.load_labelled(path)
    assert splits["x_valid"].shape == (5, 4, 4)
    np.testing.assert_array_equal(found["test"], np.arange(5))
    for wrong, message in (({}, "lacks y_train"), ({**labels, "y_valid": np.zeros([4], int)}, "y_valid has shape")):
        np.savez(path, **images, **wrong)
        with pytest.raises(ValueError, match=message):
            datasets.load_labelled(path)
    splits, found = datasets.load_labelled("digits")
    assert all(len(splits[f"x_{name}"]) == len(found[name]) for name in ("train", "valid", "test"))
    # The same digits as without labels.
    np.testing.assert_array_equal(splits["x_test"], datasets.load("digits")["x_test"])


def test_fit_conditional_density(tmp_path):
    result = run("fit_conditional_density", "--smoke", f"--out={tmp_path / 'density.png'}")
    assert result.returncode == 0, result.stderr[-2000:]
    assert (tmp_path / "density.png").exists()
    figures = json.loads((tmp_path / "density.json").read_text())
    assert figures["log_likelihood"]["fitted"] < figures["log_likelihood"]["true"]
    assert set(figures["coverage_of_80_percent_intervals"]) == {"y1", "y2"}


@pytest.mark.long
def test_the_true_conditional_density_integrates_to_one_and_is_that_of_its_draws():
    script = f"""
import sys
sys.path.insert(0, {str(EXAMPLES)!r})
import numpy as np
import fit_conditional_density as example

axis = np.linspace(-6.0, 6.0, 601)
grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape([-1, 2])
for c in (-0.7, 0.4):
    log_prob = example.true_log_prob(grid, np.full([len(grid), 1], c))
    assert abs(np.exp(log_prob).sum() * (axis[1] - axis[0]) ** 2 - 1.0) < 1e-3
    # Moments of the density against those of draws whose c is near.
y, c = example.draw(400000, np.random.default_rng(0))
near = np.abs(c[:, 0] - 0.4) < 0.02
weights = np.exp(example.true_log_prob(grid, np.full([len(grid), 1], 0.4)))
weights /= weights.sum()
for power in (1, 2):
    drawn, exact = (y[near] ** power).mean(axis=0), (weights[:, np.newaxis] * grid**power).sum(axis=0)
    assert np.abs(drawn - exact).max() < 0.08, (drawn, exact)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
