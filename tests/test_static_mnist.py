"""The set-up of a published small MLP on static MNIST, where that data is at hand."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
DATA = pathlib.Path(os.environ.get("STATIC_MNIST", ROOT.parent / "shared" / "data" / "binarized_mnist.npz"))
FLAGS = [
    "--latent_size=128",
    "--hidden_units=256,256",
    "--activation=relu",
    "--flow_hidden_units=256,256",
    "--bijector_fn=gated",
]
FLAGS += ["--optimizer=rmsprop", "--learning_rate=1e-3", "--steps=10000", "--importance_samples=8"]


@pytest.mark.long
@pytest.mark.parametrize(("posterior", "bound"), [("diagonal", -109.5), ("iaf", -111.0)])
def test_validation_bound_after_10000_steps(posterior, bound, tmp_path):
    if not DATA.exists():
        pytest.skip(f"{DATA} is not there: set STATIC_MNIST to an .npz file of x_train, x_valid, x_test")
    script = [sys.executable, str(ROOT / "examples" / "train_vae.py"), f"--data={DATA}", f"--posterior={posterior}"]
    subprocess.run([*script, *FLAGS, f"--logdir={tmp_path}"], check=True)
    metrics = json.loads((tmp_path / posterior / "metrics.json").read_text())
    assert metrics["validation_elbo"]["last"] >= bound
