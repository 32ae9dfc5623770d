"""`fit`, `evaluate` and `save` of a model whose replicas share the work."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf._arguments import flag, given, integer
from tfp_iaf._arguments import path as checked_path
from tfp_iaf._kept_functions import kept_function
from tfp_iaf._keras_arguments import check_callbacks
from tfp_iaf._types import Data
from tfp_iaf.distributed._checkpoint import restore, write_checkpoint
from tfp_iaf.distributed._replicas import Replicas
from tfp_iaf.models import ElboModel

__all__ = ["evaluate", "fit", "save"]


def fit(
    model: ElboModel,
    x: Data,
    batch_size: int = 32,
    epochs: int = 1,
    verbose: Literal["auto", 0, 1, 2] = "auto",
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    validation_data: Data | None = None,
    shuffle: bool = True,
    seed: int = 0,
    checkpoint: str | os.PathLike | None = None,
) -> keras.callbacks.History:
    """Trains a model that was made under a strategy of `tf.distribute`; every worker makes this call, with the same arguments.

    ```none
    gradient = sum over the replicas of the gradient of (1/B) sum over their rows of loss(row),   B = rows of the global batch
    ```

    Keras's own `fit` serves `MirroredStrategy`, several devices of one process, and fails under
    `MultiWorkerMirroredStrategy`. This one runs `model.train_step` on every replica, each with noise of its own. B need not be
    a multiple of the number of replicas. With free bits, each replica takes the mean KL over its own rows only.

    Callbacks run on every worker, at the beginning and end of training, epochs, training batches and validation. All see the
    same logs, which are reduced over the replicas, and so decide alike. Once one worker has set `model.stop_training`, all end
    after that epoch. Only the chief, the worker of the first replica, prints.

    With `checkpoint`, the chief writes weights, optimizer, moving averages and the state of the noise there after each epoch.
    A run that finds a checkpoint goes on from it, unless a callback has ended that run; the other workers get all of it from
    the chief, and need not see its files. If a worker dies, the others raise a ConnectionError: start all of them again.

    Args:
        model: a compiled `models.ElboModel`, made and compiled under `strategy.scope()`.
        x: what `evaluation.elbo` takes, except generators, which end after one epoch. Every worker reads all of x, in the same
            order, and uses its own replicas' rows of each batch. Give `Dataset.shuffle` a seed.
        batch_size: B, the rows of a batch over all replicas. Batches of datasets are cut to this size.
        epochs: passes over x, those before the checkpoint included.
        verbose: as in `keras.Model.fit`.
        callbacks: Keras callbacks.
        validation_data: other data, like x, which `evaluate` measures after each epoch.
        shuffle: whether arrays get a new order of rows in each epoch; datasets keep theirs.
        seed: of that order.
        checkpoint: a folder; None keeps nothing.

    Returns:
        A `keras.callbacks.History` of the epochs that this call trained.

    Raises:
        TypeError: if the model is no `models.ElboModel`.
        ValueError: for a model that is not compiled, or asks for `jit_compile` or `steps_per_execution`; for a
            `BackupAndRestore`; for data as in `evaluation.elbo`; for a checkpoint that is damaged or of another model.
        ConnectionError: if another worker ends, or cannot be reached any more.

    >>> from tfp_iaf import models, posteriors
    >>> strategy = tf.distribute.get_strategy()  # Or tf.distribute.MultiWorkerMirroredStrategy().
    >>> with strategy.scope():
    ...     model = models.VAE(keras.layers.Dense(8), posteriors.IAF(2, hidden_units=(8,)), keras.layers.Dense(6))
    ...     model.compile(keras.optimizers.Adamax(2e-3))
    >>> sorted(fit(model, np.ones([50, 6]), epochs=2, verbose=0).history)
    ['elbo', 'kl', 'loss', 'reconstruction']
    """
    data = _Data(model, x, batch_size)
    epochs, seed, shuffle = integer("epochs", epochs), integer("seed", seed, at_least=0), flag("shuffle", shuffle)
    check_callbacks(callbacks)
    if any(isinstance(each, keras.callbacks.BackupAndRestore) for each in callbacks or ()):
        raise ValueError("BackupAndRestore does not resume a distributed fit: leave it out, and give fit checkpoint=.")
    folder = None if checkpoint is None else checked_path("checkpoint", checkpoint)
    if getattr(model, "optimizer", None) is None:
        raise ValueError("The model is not compiled: call model.compile(optimizer) under the strategy's scope.")
    if model.jit_compile or model.steps_per_execution > 1:
        raise ValueError("jit_compile and steps_per_execution do not run on replicas: compile the model without them.")
    with model.columns_of(x):
        validation = None if validation_data is None else _Data(model, validation_data, batch_size)
    replicas = Replicas(model)
    try:
        with replicas.strategy.scope():
            model.optimizer.build(model.trainable_variables)
    except RuntimeError as error:
        raise ValueError("The optimizer was made outside of the strategy's scope: make it inside, as the model.") from error
    done, is_over = (0, False) if folder is None else restore(replicas, folder)
    if data.arrays is not None:
        model.give_hints(data.arrays if len(data.arrays) > 1 else data.arrays[0])
    model.check_decoder()
    train = replicas.function(model.train_step, tf.distribute.ReduceOp.MEAN)
    callback_list = keras.callbacks.CallbackList(
        callbacks,
        add_history=True,
        add_progbar=replicas.is_chief and verbose != 0,
        verbose=verbose,
        epochs=epochs,
        steps=data.num_batches,
        model=model,
    )
    model.stop_training = False
    model.end_annealing()
    try:
        callback_list.on_train_begin()
        logs = {}
        for epoch in range(epochs if is_over else done, epochs):
            model.reset_metrics()
            callback_list.on_epoch_begin(epoch)
            for index, batch in enumerate(data.batches((seed, epoch) if shuffle else None)):
                callback_list.on_train_batch_begin(index)
                inputs, mask, share = replicas.split(batch)
                model.share_of_rows.assign(share)
                logs = _floats(train((inputs, None, replicas.values(mask))))
                callback_list.on_train_batch_end(index, logs)
            if not logs:
                raise ValueError("x must hold at least one example, got none.")
            logs = _floats(model.get_metrics_result())
            if validation is not None:
                callback_list.on_test_begin()
                found = _evaluate(replicas, validation)
                callback_list.on_test_end(found)
                logs.update((f"val_{name}", value) for name, value in found.items())
            callback_list.on_epoch_end(epoch, logs)
            is_over = bool(replicas.sum(lambda _: model.stop_training))
            if folder is not None:
                write_checkpoint(replicas, folder, epoch + 1, is_over)
            if is_over:
                break
        model.optimizer.finalize_variable_values(model.trainable_variables)
        callback_list.on_train_end(logs)
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        if replicas.count == 1:
            raise
        again = "start all workers again" + ("" if checkpoint is None else f"; they go on from {checkpoint}")
        raise ConnectionError(f"Another worker has ended, or cannot be reached: {again}.") from error
    finally:
        model.end_annealing()
        model.share_of_rows.assign(1.0)
    return model.history


def evaluate(model: ElboModel, x: Data, batch_size: int = 32) -> dict[str, float]:
    """The loss and the metrics of the model's `evaluate`, as a dict, measured on all replicas; every worker makes this call.

    The means are over all rows of x, however they are divided among the replicas.

    Args:
        model: a `models.ElboModel`, made under `strategy.scope()`.
        x, batch_size: as in `fit`.

    Raises:
        TypeError: if the model is no `models.ElboModel`.
        ValueError: for data as in `evaluation.elbo`.

    >>> from tfp_iaf import models, posteriors
    >>> model = models.VAE(keras.layers.Dense(8), posteriors.DiagonalGaussian(2), keras.layers.Dense(6))
    >>> sorted(evaluate(model, np.ones([50, 6])))
    ['elbo', 'kl', 'loss', 'reconstruction']
    """
    data = _Data(model, x, batch_size)
    return _evaluate(Replicas(model), data)


def save(model: ElboModel, path: str | os.PathLike) -> None:
    """`model.save(path)`, written by the chief alone; every worker makes this call.

    Every worker must take part, since a metric's value is its sum over the replicas.

    >>> from tfp_iaf import models, posteriors
    >>> model = models.VAE(keras.layers.Dense(8), posteriors.DiagonalGaussian(2), keras.layers.Dense(6))
    >>> model.build((None, 6))
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, f"{folder}/model.keras")
    ...     keras.saving.load_model(f"{folder}/model.keras").data_shape
    (6,)
    """
    _check_model(model)
    Replicas(model).write(model.save, checked_path("path", path))


def _check_model(model):
    if not isinstance(model, ElboModel):
        raise TypeError(f"Only a models.ElboModel, such as a VAE, can be trained here, got {given(model)}.")


class _Data:
    """Data that every worker reads in the same order, checked; builds the model for them if it is not built.

    Attributes:
        arrays: a tuple (x,) or (x, condition), where the data are in memory; else None.
        num_batches: None if it is not known.
    """

    def __init__(self, model, x, batch_size):
        _check_model(model)
        if hasattr(x, "__next__"):
            raise ValueError("A generator ends after one epoch: give arrays, a tf.data.Dataset or a keras.utils.PyDataset.")
        self._model, self._x = model, x
        self._batch_size = integer("batch_size", batch_size)
        model.build_for(x)
        self.arrays = None
        if isinstance(x, tf.data.Dataset | keras.utils.PyDataset):
            _, self.num_batches = model.batches(x, self._batch_size)
            return
        checked = model.check_data(x)
        self.arrays = checked if isinstance(checked, tuple) else (checked,)
        self.num_batches = math.ceil(len(self.arrays[0]) / self._batch_size)
        if not self.num_batches:
            raise ValueError("x must hold at least one example, got none.")

    def batches(self, order=None):
        """The batches of one epoch, tuples of arrays; `order` seeds the order of rows, None keeps theirs."""
        if self.arrays is None:
            yield from self._model.batches(self._x, self._batch_size)[0]
            if isinstance(self._x, keras.utils.PyDataset):
                self._x.on_epoch_end()
            return
        rows = np.arange(len(self.arrays[0]))
        if order is not None:
            np.random.default_rng(order).shuffle(rows)
        for start in range(0, len(rows), self._batch_size):
            yield tuple(array[rows[start : start + self._batch_size]] for array in self.arrays)


def _evaluate(replicas, data):
    """See `evaluate`."""
    model = replicas.model

    def score(inputs):
        x, mask = inputs
        loss = model.compute_loss(x=x, y_pred=model(x, training=False), sample_weight=mask, training=False)
        penalty = sum(tf.cast(penalty, loss.dtype) for penalty in model.losses) / tf.cast(replicas.count, loss.dtype)
        rows = tf.cast(tf.size(mask) * replicas.count, loss.dtype)
        return {"sum": (loss - penalty) * rows, "rows": tf.cast(tf.reduce_sum(mask), loss.dtype), "penalty": penalty}

    key = "distributed score", bool(model.run_eagerly), model.num_samples
    score_batch = kept_function(model, key, lambda: replicas.function(score, tf.distribute.ReduceOp.SUM))
    model.reset_metrics()
    total = rows = penalty = 0.0
    for batch in data.batches():
        inputs, mask, _ = replicas.split(batch)
        results = _floats(score_batch((inputs, replicas.values(mask))))
        total, rows, penalty = total + results["sum"], rows + results["rows"], results["penalty"]
    if not rows:
        raise ValueError("x must hold at least one example, got none.")
    metrics = {name: value for name, value in _floats(model.get_metrics_result()).items() if name in model.metric_names}
    return {"loss": total / rows + penalty, **metrics}


def _floats(logs):
    return {name: float(value) for name, value in logs.items()}
