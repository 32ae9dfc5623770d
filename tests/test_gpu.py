"""What only a GPU shows: `make test-gpu`, on a machine that has one."""

import math
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_iaf
from tests.models.test_vae import data
from tests.posteriors.constructors import CASES

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not tf.config.list_physical_devices("GPU"), reason="there is no GPU"),
]
every_posterior = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@pytest.fixture(autouse=True)
def full_float32():
    """TensorFlow's default on a GPU, TF32, keeps 10 of the 23 bits of the factors of products."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    yield
    tf.config.experimental.enable_tensor_float_32_execution(before)


def images(rows=256):
    return data(rows, size=8)


def vae(posterior=None, **compile_arguments):
    dense = keras.layers.Dense
    model = tfp_iaf.VAE(
        keras.Sequential([keras.layers.Flatten(), dense(64, "elu")]),
        posterior or tfp_iaf.IAF(4, hidden_units=(64, 64), seed=1),
        keras.Sequential([keras.layers.Flatten(), dense(64, "elu"), dense(64), keras.layers.Reshape((8, 8))]),
    )
    model.compile(keras.optimizers.Adam(3e-3), **compile_arguments)
    return model


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@every_posterior
def test_every_posterior_trains_there_as_on_the_cpu(case, jit_compile):
    histories = {}
    weights = None
    for device in ("CPU:0", "GPU:0"):
        with tf.device(device):
            posterior, shape = case.make(), (*case.places, case.features_size)
            dense = keras.layers.Dense
            model = tfp_iaf.VAE(
                keras.Sequential([keras.layers.Flatten(), dense(math.prod(shape), "elu"), keras.layers.Reshape(shape)]),
                posterior,
                keras.Sequential([keras.layers.Flatten(), dense(64, "elu"), dense(64), keras.layers.Reshape((8, 8))]),
            )
            model.compile(keras.optimizers.Adam(3e-3), jit_compile=jit_compile and device == "GPU:0")
            model.build((None, 8, 8))
            weights = weights or [weight.numpy() for weight in model.weights]
            model.set_weights(weights)
            assert all(weight.value.device.endswith(device) for weight in model.trainable_weights if "seed" not in weight.path)
            history = model.fit(images(), batch_size=64, epochs=5, shuffle=False, verbose=0).history
            histories[device] = history["elbo"]
    np.testing.assert_allclose(histories["GPU:0"], histories["CPU:0"], rtol=5e-3)
    assert histories["GPU:0"][-1] > histories["GPU:0"][0]


@pytest.mark.compiled
@every_posterior
def test_densities_of_samples_agree_with_those_of_given_latents(case):
    posterior, features = case.trained(), case.features()
    z, log_q = posterior(features)
    assert z.device.endswith("GPU:0")
    np.testing.assert_allclose(posterior(features, value=z), log_q, rtol=2e-4, atol=2e-3)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_mixed_precision_trains(policy, jit_compile):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = vae(jit_compile=jit_compile)
        history = model.fit(images(), batch_size=64, epochs=30, verbose=0).history
    finally:
        keras.config.set_dtype_policy(before)
    assert history["elbo"][-1] > history["elbo"][0] + 2.0
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}


@pytest.mark.compiled
def test_models_compile_with_xla_by_default():
    assert vae().jit_compile


RESUMED = """
import sys
import keras, numpy as np, tensorflow as tf
from tests.test_gpu import images, vae

keras.utils.set_random_seed(0)
tf.config.experimental.enable_op_determinism()

def fit(epochs, callbacks=()):
    keras.utils.set_random_seed(0)
    model = vae()
    model.build((None, 8, 8))
    model.fit(images(), batch_size=64, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks))
    return model

class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt

unbroken = fit(4)
try:
    fit(4, [keras.callbacks.BackupAndRestore(sys.argv[1]), Stop()])
except KeyboardInterrupt:
    pass
resumed = fit(4, [keras.callbacks.BackupAndRestore(sys.argv[1])])
for ours, other in zip(resumed.weights, unbroken.weights):
    np.testing.assert_array_equal(ours.numpy(), other.numpy())
"""


def run(code, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_FORCE_GPU_ALLOW_GROWTH": "true", **environment},
    )


def test_a_resumed_run_equals_an_unbroken_one(tmp_path):
    done = run(RESUMED, tmp_path, XLA_FLAGS=os.environ.get("XLA_FLAGS", "") + " --xla_gpu_deterministic_ops=true")
    assert not done.returncode, done.stderr[-3000:]


PLACED = """
import tensorflow as tf
tf.debugging.set_log_device_placement(True)
from tests.test_gpu import images, vae
vae(jit_compile=False).fit(images(), batch_size=64, epochs=1, verbose=0)
"""
ARITHMETIC = {
    "MatMul",
    "Conv2D",
    "Exp",
    "Tanh",
    "Sigmoid",
    "Softplus",
    "Elu",
    "Relu",
    "Log",
    "Log1p",
    "Sqrt",
    "Split",
    "SelectV2",
}


def test_the_arithmetic_of_a_step_is_placed_on_the_gpu():
    done = run(PLACED)
    assert not done.returncode, done.stderr[-3000:]
    placed = re.findall(r"\((\w+)\): \S*/device:(GPU|CPU):0", done.stderr + done.stdout)
    assert any(device == "GPU" for _, device in placed)
    assert not {operation for operation, device in placed if device == "CPU"} & ARITHMETIC


SERVED = """
import sys
import numpy as np, tensorflow as tf
served = tf.saved_model.load(sys.argv[1])
x = tf.constant(np.load(sys.argv[2]))
print(tf.config.list_physical_devices("GPU"))
np.save(sys.argv[3], served.encode(x, tf.constant([0, 1]))["z"])
"""


def test_an_export_serves_the_same_with_and_without_the_gpu(tmp_path):
    model = vae()
    model.fit(images(), batch_size=64, epochs=2, verbose=0)
    tfp_iaf.serving.export(model, tmp_path / "export")
    np.save(tmp_path / "x.npy", images(16).astype(np.float32))
    answers = []
    for name, visible in {"gpu": "0", "cpu": ""}.items():
        out = tmp_path / f"{name}.npy"
        done = run(SERVED, tmp_path / "export", tmp_path / "x.npy", out, CUDA_VISIBLE_DEVICES=visible, NVIDIA_TF32_OVERRIDE="0")
        assert not done.returncode, done.stderr[-3000:]
        assert ("GPU" in done.stdout) == bool(visible)
        answers.append(np.load(out))
    np.testing.assert_allclose(*answers, rtol=1e-3, atol=1e-4)


def test_hierarchical_models_train_there():
    model = tfp_iaf.models.HierarchicalVAE((16, 16, 3), num_layers=(2,), filters=16, latent_channels=8, patch_size=2)
    model.compile(keras.optimizers.Adamax(2e-3), jit_compile=True)
    x = np.random.default_rng(0).integers(0, 256, [64, 1, 1, 3]).repeat(16, 1).repeat(16, 2).astype(np.uint8)
    history = model.fit(x, batch_size=32, epochs=10, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0]
