"""Trains a VAE of binary images on several workers, processes that share the work of each step.

    python examples/train_distributed.py --workers=2 --logdir=runs/distributed

starts the workers on this machine. If one dies, all are started again, and go on from the last checkpoint; so they do when the
same command is given again. Where TF_CONFIG is set, as cluster managers do, the process is the worker that it names:

    TF_CONFIG='{"cluster": {"worker": ["host-0:2222", "host-1:2222"]}, "task": {"type": "worker", "index": 0}}' \\
      python examples/train_distributed.py --logdir=/shared/run

The folder gets metrics.json, model.keras, the checkpoint, and below `workers` what each worker on this machine prints.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import command_line
from absl import app, flags, logging

FLAGS = flags.FLAGS
flags.DEFINE_string("data", "digits", "digits (embedded), mnist (downloaded), or the path of an .npz file of binary images.")
flags.DEFINE_integer("workers", 2, "Processes to start on this machine.", lower_bound=1)
flags.DEFINE_integer("restarts", 3, "How often to start them again after one has died.", lower_bound=0)
flags.DEFINE_integer("latent_size", 16, "Size of z.", lower_bound=2)
flags.DEFINE_list("hidden_units", ["128", "128"], "Widths of the hidden layers of encoder and flows; the decoder mirrors them.")
flags.DEFINE_float("learning_rate", 2e-3, "Learning rate.", lower_bound=0.0)
flags.DEFINE_float("ema", 0.0, "Momentum of the weights' moving average, which is evaluated; 0 for none.", 0.0, 0.99999)
flags.DEFINE_integer("batch_size", 128, "Examples per step, of all workers together.", lower_bound=1)
flags.DEFINE_integer("epochs", 20, "Passes over the training data.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Seed of weights, noise and data order.", lower_bound=0)
flags.DEFINE_string("logdir", "runs/distributed", "Folder of the results.")
flags.DEFINE_bool("smoke", False, "A run of seconds: two epochs on a few digits.")
flags.register_validator("data", command_line.is_data, message=command_line.EXPECTED_DATA)
flags.register_validator("hidden_units", command_line.is_widths, message="expected positive integers, like 128,128")

if __name__ == "__main__":
    command_line.parse(tensorflow=False)  # The workers import it.


def make_model(data_shape):
    """The VAE that the flags describe."""
    import keras
    import numpy as np

    import tfp_iaf

    widths = [int(width) for width in FLAGS.hidden_units]
    hidden = [keras.layers.Dense(width, "elu") for width in widths]
    mirrored = [keras.layers.Dense(width, "elu") for width in widths[::-1]]
    model = tfp_iaf.VAE(
        encoder=keras.Sequential([keras.layers.Flatten(), *hidden]),
        posterior=tfp_iaf.IAF(FLAGS.latent_size, hidden_units=widths, seed=FLAGS.seed),
        decoder=keras.Sequential([*mirrored, keras.layers.Dense(int(np.prod(data_shape))), keras.layers.Reshape(data_shape)]),
    )
    model.build((None, *data_shape))
    average = {"use_ema": True, "ema_momentum": FLAGS.ema} if FLAGS.ema else {}
    model.compile(keras.optimizers.Adamax(FLAGS.learning_rate, **average))
    return model


def work():
    """What each worker does."""
    import tensorflow as tf

    logging.set_verbosity(logging.ERROR)  # TensorFlow counts its reductions aloud.

    # Before anything else of TensorFlow: it connects the workers.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    import datasets
    import json_files
    import keras
    from provenance import provenance

    import tfp_iaf

    origin, logdir = provenance(), pathlib.Path(FLAGS.logdir)
    splits = datasets.load("digits" if FLAGS.smoke else FLAGS.data)
    if FLAGS.smoke:
        splits = {name: x[:200] for name, x in splits.items()}
        FLAGS.epochs, FLAGS.hidden_units, FLAGS.latent_size = 2, ["16"], 2
    keras.utils.set_random_seed(FLAGS.seed)
    with strategy.scope():
        model = make_model(splits["x_train"].shape[1:])
    tfp_iaf.distributed.fit(
        model,
        splits["x_train"],
        FLAGS.batch_size,
        FLAGS.epochs,
        verbose=2,
        validation_data=splits["x_valid"],
        seed=FLAGS.seed,
        checkpoint=logdir / "checkpoint",
    )
    test = tfp_iaf.distributed.evaluate(model, splits["x_test"], FLAGS.batch_size)
    tfp_iaf.distributed.save(model, logdir / "model.keras")
    if tfp_iaf.distributed.is_chief(strategy):
        metrics = {
            "replicas": strategy.num_replicas_in_sync,
            "epochs": FLAGS.epochs,
            "seed": FLAGS.seed,
            "test": test,
            **origin,
        }
        json_files.write(logdir / "metrics.json", metrics)
        print(f"Test bound {test['elbo']:.2f} nats with {strategy.num_replicas_in_sync} replicas. Results are in {logdir}.")


def free_ports(count):
    """Ports of the loopback interface that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start(index, addresses, folder):
    """Starts one worker; what it prints goes to a file, and the chief's here."""
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    with open(folder / f"{index}.log", "a") as log:
        return subprocess.Popen(
            [sys.executable, *sys.argv],
            env={**os.environ, "TF_CONFIG": json.dumps(config)},
            stdout=None if index == 0 else log,
            stderr=log,
        )


def run_once(folder):
    """Runs the workers to their end; returns the first exit code that is not zero, or zero. None is left running."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(FLAGS.workers)]
    workers = [start(index, addresses, folder) for index in range(FLAGS.workers)]
    try:
        while True:
            codes = [worker.poll() for worker in workers]
            failed = [code for code in codes if code]
            if failed or None not in codes:
                return failed[0] if failed else 0
            time.sleep(0.1)
    finally:
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.wait()


def main(_):
    if "TF_CONFIG" in os.environ:
        try:
            work()
        except (ValueError, OSError) as error:
            sys.exit(f"train_distributed: {error}")
        return
    folder = pathlib.Path(FLAGS.logdir, "workers")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"train_distributed: --logdir={FLAGS.logdir}: {error}.")
    for attempt in range(FLAGS.restarts + 1):
        code = run_once(folder)
        if code == 0:
            return
        if code == 1 and attempt == 0 and not (folder.parent / "checkpoint").exists():
            break  # An error of its own, such as data that cannot be read.
        print(f"A worker ended with exit code {code}; see {folder}.", flush=True)
    errors = (folder / "0.log").read_text().strip().splitlines()
    sys.exit(errors[-1] if errors else f"train_distributed: the workers failed; see {folder}.")


if __name__ == "__main__":
    app.run(main)
