"""Checkpoints that a kill at any moment leaves usable."""

import json
import os
import pathlib
import time

import keras
from averaging import averaged


class Checkpoints(keras.callbacks.Callback):
    """Saves weights, optimizer and noise state at the end of every epoch, and keeps the run's history beside them.

    Each file is written under another name and then moved into place; `save_weights` of the models does so itself. Progress is
    counted in optimizer steps, which the weights file holds, so the two files need not be of the same epoch.

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
        self.folder.mkdir(parents=True, exist_ok=True)
        latest = self.folder / "latest.weights.h5"
        if not latest.exists():
            if self.settings is not None:
                self._write("settings.json", json.dumps(self.settings, indent=1))
            return 0
        self.check()
        model.optimizer.build(model.trainable_variables)
        try:
            model.load_weights(latest)
            rows = json.loads((self.folder / "history.json").read_text())
        except (OSError, ValueError, KeyError) as error:
            raise self._of_another_run(str(error).splitlines()[0]) from error
        done = int(model.optimizer.iterations)
        self.history[:] = [row for row in rows if row["step"] <= done]
        return done // self.steps_per_epoch

    def check(self):
        """Raises a ValueError in one line if the checkpoint was written with other settings."""
        path = self.folder / "settings.json"
        if self.settings is None or not path.exists():
            return
        before = json.loads(path.read_text())
        for name, value in self.settings.items():
            # An older checkpoint may lack a setting.
            if before.get(name, value) != value:
                raise self._of_another_run(f"{name} was {before[name]}, now {value}")

    def _of_another_run(self, reason):
        return ValueError(
            f"{self.folder} holds a checkpoint of another run ({reason}): choose another --logdir, or remove it to start anew."
        )

    def restore_best(self, model):
        model.load_weights(self.folder / "best.weights.h5")

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._training_seconds = time.perf_counter() - self._epoch_start

    def on_epoch_end(self, epoch, logs=None):
        step = int(self.model.optimizer.iterations)
        best = max((row["val_elbo"] for row in self.history), default=float("-inf"))
        row = {"step": step, "seconds": self._training_seconds, **{name: float(value) for name, value in logs.items()}}
        self.history.append(row)
        if row["val_elbo"] > best:
            with averaged(self.model):
                self.model.save_weights(self.folder / "best.weights.h5")
        # The history first: a row too many is dropped on resuming, a row too few would be lost.
        self._write("history.json", json.dumps(self.history, indent=1))
        self.model.save_weights(self.folder / "latest.weights.h5")

    def _write(self, name, text):
        temporary = self.folder / f"writing-{name}"
        temporary.write_text(text)
        os.replace(temporary, self.folder / name)
