"""A process that does nothing but save and export is killed twenty times: every time, what is there is whole."""

import random
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

WRITER = """
import itertools, sys
import keras, numpy as np, tfp_iaf

folder, first = sys.argv[1], int(sys.argv[2])
model = tfp_iaf.VAE(keras.layers.Dense(4), tfp_iaf.IAF(2, hidden_units=(4,)), keras.layers.Dense(6))
model.build((None, 6))
model.decoder.kernel.assign(np.zeros([2, 6]))
for version in itertools.count(first):
    model.decoder.bias.assign(np.full([6], -version))
    model.save(folder + "/model.keras")
    print("keras", version, flush=True)
    model.save_weights(folder + "/model.weights.h5")
    print("weights", version, flush=True)
    tfp_iaf.serving.export(model, folder + "/saved_model", overwrite=True)
    print("export", version, flush=True)
"""


def versions(folder):
    """What the artifacts in the folder hold, each loaded whole."""
    model = keras.models.load_model(folder / "model.keras")
    found = {"keras": model.decoder.bias.numpy()}
    model.load_weights(folder / "model.weights.h5")
    found["weights"] = model.decoder.bias.numpy()
    served = tf.saved_model.load(str(folder / "saved_model"))
    mean = served.signatures["decode"](z=tf.zeros([1, 2]))["mean"].numpy()[0].astype(np.float64)
    found["export"] = np.log(mean / (1.0 - mean))
    assert all(np.ptp(values) < 1e-3 for values in found.values())
    return {name: -float(values[0]) for name, values in found.items()}


@pytest.mark.long
def test_twenty_kills_inside_save_and_export(tmp_path):
    rng = random.Random(0)
    written = {}
    inside = 0
    for _ in range(20):
        first = max(written.values(), default=0) + 1
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(first)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for line in process.stdout:
            name, version = line.split()
            written[name] = int(version)
            if name == "export":
                break
        time.sleep(rng.uniform(0.0, 4.0))
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
        process.wait()
        process.stdout.close()
        for line in rest.splitlines():
            name, version = line.split()
            written[name] = int(version)
        inside += any("-writing-" in path.name for path in tmp_path.iterdir())
        found = versions(tmp_path)
        for name, version in found.items():
            # The last one that was finished, or the next, whose line was not printed any more.
            assert min(abs(version - written[name]), abs(version - written[name] - 1)) < 0.01, (found, written)
    assert inside >= 10
