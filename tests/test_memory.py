"""Memory stays as it is, however long a process trains, evaluates, serves, or makes models."""

import subprocess
import sys

import pytest

# Each in a process of its own: what other tests leave behind would count.
COMMON = """
import gc, os, sys, threading
import keras, numpy as np, tensorflow as tf, tfp_iaf

def mebibytes():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

def make():
    model = tfp_iaf.VAE(keras.layers.Dense(16, "elu"), tfp_iaf.IAF(4, hidden_units=(32,), seed=0), keras.layers.Dense(12))
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    return model

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).integers(0, 2, [320, 12]).astype("float32")
"""

TRAINING = """
model = make()

def train(steps):
    model.fit(x, batch_size=16, epochs=steps // 20, verbose=0)

def evaluate(times):
    for k in range(times):
        tfp_iaf.evaluation.elbo(model, x[:32], batch_size=16, seed=k, verbose=False)
        tfp_iaf.evaluation.log_likelihood(model, x[:32], 4, batch_size=16, seed=k, verbose=False)

train(200), evaluate(10)
start = mebibytes()
train(2000), evaluate(200)
print(mebibytes() / start)
"""

REQUESTS = """
model = make()
model.build((None, 12))
tfp_iaf.serving.export(model, sys.argv[1])
served = tf.saved_model.load(sys.argv[1])
seed = tf.constant([0, 1])
expected = {rows: served.encode(x[:rows], seed)["z"].numpy() for rows in range(1, 9)}
wrong = []

def request(thread, count):
    for k in range(count):
        rows = 1 + (k + thread) % 8
        if not np.allclose(served.encode(x[:rows], seed)["z"], expected[rows], atol=1e-6):
            wrong.append((thread, k))

def requests(count):
    threads = [threading.Thread(target=request, args=(k, count // 8)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

requests(400)
start = mebibytes()
requests(10_000)
assert not wrong, wrong[:3]
print(mebibytes() / start)
"""


def printed(script, *args):
    command = [sys.executable, "-c", COMMON + script, *map(str, args)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    return float(result.stdout.split()[-1])


@pytest.mark.long
def test_two_thousand_steps_and_two_hundred_evaluations():
    assert printed(TRAINING) < 1.02


@pytest.mark.long
def test_ten_thousand_requests_of_eight_threads(tmp_path):
    assert printed(REQUESTS, tmp_path / "saved_model") < 1.02
