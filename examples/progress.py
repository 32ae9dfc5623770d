"""The progress of a training run: one bar in a terminal, ten lines in a file."""

import sys

import keras


class Progress(keras.callbacks.Callback):
    """Shows the run as one bar over its epochs; where stdout is a file or a pipe, one plain line after each tenth of them.

    Pass `verbose=0` to `fit` beside it.

    Args:
        names: the metrics to show, as far as there are such.
    """

    def __init__(self, *names):
        super().__init__()
        self.names = names
        self._bar = None

    def on_train_begin(self, logs=None):
        if sys.stdout.isatty():
            self._bar = keras.utils.Progbar(self.params["epochs"], unit_name="epoch", stateful_metrics=self.names)

    def on_epoch_end(self, epoch, logs=None):
        shown = [(name, float(logs[name])) for name in self.names if name in logs]
        done, total = epoch + 1, self.params["epochs"]
        if self._bar is not None:
            self._bar.update(done, shown, finalize=done == total or self.model.stop_training)
        elif 10 * done // total > 10 * epoch // total:
            print(f"epoch {done} of {total}:", ", ".join(f"{name} {value:.2f}" for name, value in shown), flush=True)
