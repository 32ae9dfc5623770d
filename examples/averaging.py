"""The moving average of the weights that a Keras optimizer keeps with `use_ema`, in the weights' place for a while."""

import contextlib

import keras


class ValidateAverage(keras.callbacks.Callback):
    """Validates the averaged weights, and gives training back its own. (Keras's SwapEMAWeights returns them rounded.)"""

    def __init__(self):
        super().__init__()
        self._swapped = None

    def on_test_begin(self, logs=None):
        self._swapped = averaged(self.model)
        self._swapped.__enter__()

    def on_test_end(self, logs=None):
        self._swapped.__exit__(None, None, None)


@contextlib.contextmanager
def averaged(model):
    """A context in which the model has the averaged weights; its own where the optimizer keeps no average."""
    own = [variable.numpy() for variable in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield model
    finally:
        for variable, value in zip(model.trainable_variables, own):
            variable.assign(value)
