"""Warm-up of the KL term."""

import numbers

import keras

from tfp_iaf._arguments import integer

__all__ = ["KLWarmUp"]


class KLWarmUp(keras.callbacks.Callback):
    """Raises the weight of the KL in the training loss linearly from `start` to 1 over the first `num_steps` optimizer steps.

    kl_weight = start + (1 - start) min(1, iterations / num_steps), set before every batch (with `steps_per_execution` n,
    every n batches). It follows the optimizer's count of steps, so a resumed run goes on where it stopped. Evaluation (also
    `val_loss`) takes the weight 1, and so does training when `fit` is called without this callback.

    Args:
        num_steps: length of the warm-up, at least 1.
        start: the first weight, in [0, 1].

    Raises:
        ValueError: for arguments out of range; in `fit`, for a model without a KL weight.

    Source: Bowman et al. 2016, section 3.1; Sonderby et al. 2016, section 2.3.

    >>> KLWarmUp(num_steps=1000).weight_at(250)
    0.25
    """

    def __init__(self, num_steps, start=0.0):
        super().__init__()
        self.num_steps = integer("num_steps", num_steps)
        if isinstance(start, bool) or not isinstance(start, numbers.Real) or not 0.0 <= start <= 1.0:
            raise ValueError(f"start must lie in [0, 1], got {start!r}.")
        self.start = float(start)

    def weight_at(self, step):
        """kl_weight at the given optimizer step."""
        return self.start + (1.0 - self.start) * min(1.0, step / self.num_steps)

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "kl_weight"):
            raise ValueError(f"KLWarmUp raises the KL weight of a model such as VAE, got {type(self.model).__name__}.")

    def on_train_batch_begin(self, batch, logs=None):
        self.model.kl_weight.assign(self.weight_at(int(self.model.optimizer.iterations)))

    def on_train_end(self, logs=None):
        self.model.kl_weight.assign(1.0)
