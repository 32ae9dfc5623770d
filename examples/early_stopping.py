"""Early stopping that goes on counting when a run is resumed."""

import keras
import validations


class EarlyStopping(keras.callbacks.Callback):
    """Ends training after more than `patience` validations in a row that did not raise the best validation bound.

    Args:
        history: the list of rows that `Checkpoints` keeps; its callback comes first.
        patience: how many validations in a row may bring no gain.
    """

    def __init__(self, history, patience):
        super().__init__()
        self.history = history
        self.patience = patience

    @property
    def is_over(self):
        return validations.without_gain(self.history) > self.patience

    def on_epoch_end(self, epoch, logs=None):
        if self.is_over:
            self.model.stop_training = True
