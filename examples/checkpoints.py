"""Checkpoints that a kill at any moment leaves usable."""

import fcntl
import hashlib
import json
import os
import pathlib
import time

import json_files
import keras
import validations
from averaging import averaged

LATEST, BEST = "latest.weights.h5", "best.weights.h5"


class Checkpoints(keras.callbacks.Callback):
    """Saves weights, optimizer and noise state at the end of every epoch, and keeps the run's history beside them.

    Each file is written under another name and then moved into place. Progress is counted in optimizer steps, which the weights
    file holds, so weights and history need not be of the same epoch. `checksums.json` tells a file whose bytes have changed.
    One process at a time may use the folder.

    Args:
        folder: where `latest.weights.h5`, `best.weights.h5` (by `val_elbo`; averaged, where the optimizer keeps an average),
            `history.json` and, if given, `settings.json` go.
        steps_per_epoch: optimizer steps per epoch.
        settings: a dict for JSON, of what must not change between a run and its continuation; None checks nothing.
    """

    def __init__(self, folder, steps_per_epoch, settings=None):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.steps_per_epoch = steps_per_epoch
        self.settings = settings
        self.history = []
        self._epoch_start = 0.0
        self._training_seconds = 0.0

    def restore(self, model):
        """Puts the latest state into a built and compiled model; returns the number of epochs done."""
        self._occupy()
        if not (self.folder / LATEST).exists():
            if self.settings is not None:
                json_files.write(self.folder / "settings.json", self.settings)
            return 0
        self.check()
        model.optimizer.build(model.trainable_variables)
        self._load(model, LATEST)
        rows = self._read("history.json")
        done = int(model.optimizer.iterations)
        self.history[:] = [row for row in rows if row["step"] <= done]
        return done // self.steps_per_epoch

    def _occupy(self):
        """Takes the folder for this process, whose end gives it back."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT)  # It stays open.
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{self.folder} is in use by another process: wait for it, or choose another --logdir.") from None

    def check(self):
        """Raises a ValueError in one line if the checkpoint was written with other settings."""
        path = self.folder / "settings.json"
        if self.settings is None or not path.exists():
            return
        before = self._read("settings.json")
        for name, value in self.settings.items():
            # An older checkpoint may lack a setting.
            if before.get(name, value) != value:
                raise self._of_another_run(f"{name} was {before[name]}, now {value}")

    def _of_another_run(self, reason):
        return ValueError(
            f"{self.folder} holds a checkpoint of another run ({reason}): choose another --logdir, or remove it to start anew."
        )

    def restore_best(self, model):
        self._load(model, BEST)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._training_seconds = time.perf_counter() - self._epoch_start

    def on_epoch_end(self, epoch, logs=None):
        step = int(self.model.optimizer.iterations)
        row = {"step": step, "seconds": self._training_seconds, **{name: float(value) for name, value in logs.items()}}
        self.history.append(row)
        if validations.best(self.history) is row:
            with averaged(self.model):
                self._save(BEST)
        # The history first: a row too many is dropped on resuming, a row too few would be lost.
        json_files.write(self.folder / "history.json", self.history)
        self._save(LATEST)

    def _save(self, name):
        """Saves the weights; at every moment the file's checksum is one of those in `checksums.json`."""
        staged = self.folder / f"writing-{name}"
        self.model.save_weights(staged)
        known = self._read("checksums.json") if (self.folder / "checksums.json").exists() else {}
        checksums = {**known, name: [*known.get(name, [])[-1:], _checksum(staged)]}
        json_files.write(self.folder / "checksums.json", checksums)
        os.replace(staged, self.folder / name)

    def _load(self, model, name):
        path = self.folder / name
        # Older checkpoints have no checksums.
        known = self._read("checksums.json").get(name) if (self.folder / "checksums.json").exists() else None
        try:
            if known is not None and _checksum(path) not in known:
                raise ValueError("its checksum is another")
            model.load_weights(path)
        except (OSError, ValueError, KeyError) as error:
            raise self._damaged(name, error) from error

    def _read(self, name):
        try:
            return json.loads((self.folder / name).read_text())
        except (OSError, ValueError) as error:
            raise self._damaged(name, error) from error

    def _damaged(self, name, error):
        return ValueError(
            f"{self.folder / name} is missing, damaged or of another model ({str(error).splitlines()[0]}): choose another "
            f"--logdir, or remove {self.folder} to start anew."
        )


def _checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
