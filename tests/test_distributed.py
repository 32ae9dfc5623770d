"""Replicas take the step of one device, with noise of their own; checkpoints, evaluation and errors of `distributed`."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.imports import ROOT
from tests.strategies import mirrored_strategy
from tfp_iaf import VAE, KLWarmUp, distributed
from tfp_iaf.posteriors import IAF, DiagonalGaussian

X = (np.random.default_rng(0).random([29, 6]) < 0.5).astype("float32")
NOISE = np.random.default_rng(1).normal(size=[1, 32, 2]).astype("float32")
ONE = tf.distribute.get_strategy()


class NoiseOfTheGlobalBatch(IAF):
    """Has noise for the rows of all replicas, and takes that of its own: as one device would."""

    def noise(self, parameters, num_samples=None, seed=None):
        rows = tf.shape(parameters[0])[0]
        start = rows * tf.distribute.get_replica_context().replica_id_in_sync_group
        return tf.constant(NOISE)[:, start : start + rows]


def make(strategy, kind=NoiseOfTheGlobalBatch, optimizer=None, run_eagerly=True, **kwargs):
    """A model with a penalty on its weights, made under the strategy."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        dense = keras.layers.Dense(8, "elu", kernel_regularizer=keras.regularizers.L2(1e-2))
        model = VAE(dense, kind(2, num_flows=1, hidden_units=(4,), seed=0), keras.layers.Dense(6))
        model.compile(optimizer or keras.optimizers.SGD(0.1), run_eagerly=run_eagerly, **kwargs)
        model.build((None, 6))
    return model


def assert_equal(model, other, atol=1e-6):
    for one, two in zip(model.weights, other.weights):
        np.testing.assert_allclose(one.numpy(), two.numpy(), atol=atol, rtol=0.0, err_msg=one.path)


def trained(strategy, **kwargs):
    """A model and its history, after an epoch of batches of 7, 7 and 1 rows."""
    model = make(strategy, **kwargs)
    data = tf.data.Dataset.from_tensor_slices(X[:15]).batch(15)
    return model, distributed.fit(model, data, 7, validation_data=X[:9], verbose=0).history


def test_replicas_take_the_steps_of_one_device():
    """Those of Keras's `fit`, within 1e-6; with a batch that does not divide by two, and one of a single row."""
    one = make(ONE)
    expected = one.fit(X[:15], batch_size=7, shuffle=False, validation_data=X[:9], validation_batch_size=7, verbose=0).history
    two, found = trained(mirrored_strategy())
    assert_equal(one, two)
    assert set(found) == set(expected)
    # The training loss is a mean in which a small last batch counts for more rows than it has.
    for name in set(found) - {"loss"}:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_fit_of_keras_under_a_mirrored_strategy():
    """The same; a last batch of one row leaves a replica without any, whose mean is no number."""
    one, two = make(ONE), make(mirrored_strategy())
    for model in (one, two):
        model.fit(X[:8], batch_size=8, shuffle=False, verbose=0)
    assert_equal(one, two)
    assert np.isfinite(two.fit(X[:5], batch_size=4, verbose=0).history["loss"]).all()
    assert all(np.isfinite(weight.numpy()).all() for weight in two.weights)


def test_replicas_draw_noise_of_their_own():
    strategy = mirrored_strategy()
    model = make(strategy, IAF)
    seeds = strategy.run(model.posterior.next_seed).values
    assert (seeds[0].numpy() != seeds[1].numpy()).any()


@pytest.mark.filterwarnings("ignore:fit ended at step ., before KLWarmUp")
def test_a_run_goes_on_from_its_checkpoint(tmp_path):
    """With its noise, optimizer and moving averages: bit for bit as if it had not stopped."""

    def run(checkpoint, *epochs):
        for last in epochs:
            strategy = mirrored_strategy()
            with strategy.scope():
                optimizer = keras.optimizers.Adam(1e-2, use_ema=True)
            model = make(strategy, DiagonalGaussianOf2, optimizer)
            history = distributed.fit(model, X[:5], 5, last, verbose=0, checkpoint=checkpoint, callbacks=[KLWarmUp(2)])
        return model, history.epoch

    whole, _ = run(None, 2)
    resumed, epochs = run(tmp_path / "checkpoint", 1, 2)
    assert epochs == [1]
    assert_equal(whole, resumed, atol=0.0)
    assert resumed.optimizer.iterations.numpy() == 2
    done, epochs = run(tmp_path / "checkpoint", 2)
    assert not epochs
    assert_equal(whole, done, atol=0.0)
    path = tmp_path / "checkpoint" / "model.weights.h5"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged or of another model \(its checksum is another\)"):
        run(tmp_path / "checkpoint", 2)


def test_a_saved_model_and_one_that_stops_early(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    class Batches(keras.utils.PyDataset):
        num_batches = 2

        def __getitem__(self, index):
            return X[10 * index : 10 * index + 10]

    model = make(mirrored_strategy(), DiagonalGaussianOf2)
    history = distributed.fit(model, Batches(), 5, 9, verbose=0, callbacks=[Stop()])
    assert history.epoch == [0]
    assert model.optimizer.iterations.numpy() == 4
    distributed.save(model, tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.encode(X), model.encode(X), rtol=1e-6)


def test_a_run_that_a_callback_has_ended_is_over(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    def epochs():
        model = make(mirrored_strategy(), DiagonalGaussianOf2)
        return distributed.fit(
            model, X[:5], 5, 4, verbose=0, callbacks=[Stop()], checkpoint=tmp_path / "checkpoint", shuffle=False
        ).epoch

    assert [epochs(), epochs()] == [[0, 1], []]


def test_callbacks_see_the_validation():
    """As in Keras's `fit`: averaged weights are those that are validated."""

    def validated(fit):
        model = make(ONE, DiagonalGaussianOf2, keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.9))
        swap = keras.callbacks.SwapEMAWeights()
        history = fit(
            model, x=X[:12], batch_size=4, epochs=2, validation_data=X[12:16], verbose=0, shuffle=False, callbacks=[swap]
        )
        return history.history["val_loss"]

    np.testing.assert_allclose(validated(distributed.fit), validated(VAE.fit), rtol=0.05)
    with pytest.raises(ValueError, match="BackupAndRestore does not resume a distributed fit"):
        distributed.fit(make(ONE, DiagonalGaussianOf2), X, callbacks=[keras.callbacks.BackupAndRestore("folder")])


def DiagonalGaussianOf2(*_, seed, **__):  # noqa: N802 - in the place of a class.
    return DiagonalGaussian(2, seed=seed)


def test_bad_arguments():
    model = make(ONE, DiagonalGaussianOf2)
    for arguments, message in [
        ((model, iter([X])), "A generator ends"),
        ((model, X[:0]), "at least one example"),
        ((model, X + 0.5), "0 or 1"),
        ((model, X, 0), "batch_size must be"),
        ((model, X, 8, -1), "epochs must be"),
        ((make(ONE, DiagonalGaussianOf2, run_eagerly=False, jit_compile=True), X), "jit_compile"),
    ]:
        with pytest.raises(ValueError, match=message):
            distributed.fit(*arguments, verbose=0)
    outside = make(mirrored_strategy(), DiagonalGaussianOf2, keras.optimizers.Adam(0.1))
    with pytest.raises(ValueError, match="outside of the strategy's scope"):
        distributed.fit(outside, X)
    with pytest.raises(TypeError, match="ElboModel"):
        distributed.fit(keras.Sequential([keras.layers.Dense(2)]), X)
    with pytest.raises(ValueError, match="not compiled"):
        distributed.fit(VAE(keras.layers.Dense(8), DiagonalGaussian(2), keras.layers.Dense(6)), X)


def free_addresses(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


@pytest.mark.long
def test_two_processes_take_the_steps_of_one(tmp_path):
    addresses, workers = free_addresses(2), []
    for index in range(2):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        command = [sys.executable, "-m", "tests.distributed_worker", str(tmp_path / f"{index}.npz")]
        environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
        workers.append(subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True))
    for worker in workers:
        _, errors = worker.communicate(timeout=300)
        assert worker.returncode == 0, errors[-2000:]
    model, history = trained(ONE)
    for index in range(2):
        found = np.load(tmp_path / f"{index}.npz")
        for number, weight in enumerate(model.weights):
            np.testing.assert_allclose(found[f"weight_{number}"], weight.numpy(), atol=1e-6, rtol=0.0, err_msg=weight.path)
        for name in ("val_loss", "val_elbo", "val_kl"):
            np.testing.assert_allclose(found[name], history[name], rtol=1e-5, atol=1e-6)


@pytest.mark.long
def test_killed_workers_start_again_and_end_as_if_they_had_not_been(tmp_path):
    def metrics(folder, kill):
        command = [sys.executable, str(ROOT / "examples" / "train_distributed.py"), "--hidden_units=16", "--latent_size=2"]
        command += ["--epochs=20", "--ema=0.9", f"--logdir={folder}"]
        launcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        children = pathlib.Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children")
        for which in kill:
            seen = modified(folder)
            while modified(folder) == seen and launcher.poll() is None:
                time.sleep(0.01)
            # Of the two workers, the chief first.
            os.kill(int(children.read_text().split()[which]), signal.SIGKILL)
        output, _ = launcher.communicate(timeout=600)
        assert launcher.returncode == 0, output[-2000:]
        assert output.count("A worker ended") == len(kill)
        return json.loads((folder / "metrics.json").read_text())["test"]

    def modified(folder):
        path = folder / "checkpoint" / "progress.json"
        return path.stat().st_mtime_ns if path.exists() else None

    unbroken = metrics(tmp_path / "unbroken", [])
    killed = metrics(tmp_path / "killed", [1, 0])
    assert killed == pytest.approx(unbroken, rel=1e-6)
