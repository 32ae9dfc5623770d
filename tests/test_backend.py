"""Keras on another backend than TensorFlow."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("backend", ["jax", "torch", "numpy"])
def test_another_backend_is_refused_in_one_line(backend):
    """Also where it is not installed, before Keras looks for it."""
    environment = {**os.environ, "KERAS_BACKEND": backend}
    run = subprocess.run([sys.executable, "-c", "import tfp_iaf"], env=environment, capture_output=True, text=True)
    assert run.returncode != 0
    assert run.stderr.splitlines()[-1].startswith(
        f"ImportError: tfp_iaf needs Keras on TensorFlow, got the backend {backend!r}"
    )


def test_an_empty_name_means_the_default():
    run = subprocess.run([sys.executable, "-c", "import tfp_iaf"], env={**os.environ, "KERAS_BACKEND": ""}, capture_output=True)
    assert run.returncode == 0
