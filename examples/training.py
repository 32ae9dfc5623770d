"""What the training examples share: training that can be killed and resumed, evaluation, and the table of results."""

import itertools
import statistics

import checkpoints
import datasets
import numpy as np
from averaging import ValidateAverage
from command_line import STEPS_BETWEEN_VALIDATIONS
from early_stopping import EarlyStopping
from progress import Progress

import tfp_iaf


def fit(
    model,
    splits,
    folder,
    *,
    batch_size,
    seed,
    epochs,
    steps=None,
    steps_per_validation=STEPS_BETWEEN_VALIDATIONS,
    patience=None,
    kl_warm_up_steps=0,
    keep_best=False,
    batches=datasets.batches,
    initialize=None,
    settings=None,
    callbacks=(),
):
    """Fits a built and compiled model, from its checkpoint if there is one; returns the history, one row per epoch.

    The model ends with the weights to evaluate: of the best validation bound with `keep_best`, else the last; averaged where
    the optimizer keeps an average.

    Args:
        model: a `tfp_iaf` model.
        splits: arrays x_train and x_valid.
        folder: the checkpoint goes to `checkpoint/` in it.
        batch_size: examples per step.
        seed: of the order of the data.
        epochs: passes over the training data.
        steps: optimizer steps instead of `epochs`.
        steps_per_validation: with `steps`, after how many the model is validated and saved; without, each epoch's end.
        patience: ends training after more than so many validations in a row without a gain; None never does.
        kl_warm_up_steps: of `tfp_iaf.KLWarmUp`; 0 for none.
        keep_best: whether to end with the weights of the best validation bound.
        batches: makes the training data, as `datasets.batches`.
        initialize: called with the model before its first step, not when resuming.
        settings: what the checkpoint must have been written with, a dict for JSON; None for anything.
        callbacks: more Keras callbacks.
    """
    total = num_steps(len(splits["x_train"]), batch_size, epochs, steps)
    steps_per_epoch = min(total, steps_per_validation) if steps else total // epochs
    if settings is not None:
        settings = {**settings, "steps_per_epoch": steps_per_epoch}
    saver = checkpoints.Checkpoints(folder / "checkpoint", steps_per_epoch, settings)
    epochs_done = saver.restore(model)
    if epochs_done:
        print(f"Resuming after {epochs_done} epochs ({epochs_done * steps_per_epoch} steps).")
    elif initialize is not None:
        initialize(model)
    stopping = [] if patience is None else [EarlyStopping(saver.history, patience)]
    if epochs_done < total // steps_per_epoch and not any(callback.is_over for callback in stopping):
        model.fit(
            batches(splits["x_train"], batch_size, seed, epochs_done * steps_per_epoch),
            steps_per_epoch=steps_per_epoch,
            epochs=total // steps_per_epoch,
            initial_epoch=epochs_done,
            validation_data=splits["x_valid"],
            validation_batch_size=250,
            callbacks=[
                *([tfp_iaf.KLWarmUp(kl_warm_up_steps)] if kl_warm_up_steps else []),
                *([ValidateAverage()] if model.optimizer.use_ema else []),
                saver,
                *stopping,
                *callbacks,
                Progress("elbo", "val_elbo"),
            ],
            verbose=0,
        )
    if keep_best:
        saver.restore_best(model)
    else:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    return saver.history


def num_steps(num_examples, batch_size, epochs, steps=None):
    """The number of optimizer steps of a run: `steps`, or those of so many epochs."""
    return steps or epochs * max(1, num_examples // batch_size)


def schedule(decay_to, steps):
    """What a rate that falls adds to the settings of a checkpoint: the steps over which it does."""
    return {} if decay_to == 1.0 else {"steps_of_decay": steps}


def evaluate(model, x, *, importance_samples, elbo_samples=16, importance_images=None, max_rows=4096):
    """Bound and log-likelihood of x in nats, each with the standard error of its mean over the examples.

    With `importance_images` log p(x) is that of so many examples, spread over x, and their bound stands beside it. x may be a
    tuple (x, condition).
    """
    elbo = tfp_iaf.evaluation.elbo(model, x, num_samples=elbo_samples, max_rows=max_rows)
    rows = np.arange(len(elbo)) if importance_images is None else spread(len(elbo), importance_images)
    chosen = tuple(part[rows] for part in x) if isinstance(x, tuple) else x[rows]
    log_likelihood = tfp_iaf.evaluation.log_likelihood(model, chosen, importance_samples, max_rows=max_rows)
    results = {"elbo": _summary(elbo), "log_likelihood": _summary(log_likelihood)}
    if len(log_likelihood) < len(elbo):
        results["log_likelihood"]["examples"] = len(log_likelihood)
        results["log_likelihood"]["their_elbo"] = _summary(elbo[rows])
    return results


def spread(count, num_chosen):
    """`num_chosen` indices below `count`, all if there are fewer, evenly spread: test sets come sorted by class."""
    num_chosen = min(num_chosen, count)
    return np.arange(num_chosen) * count // num_chosen


def _summary(values):
    mean, error = tfp_iaf.evaluation.mean_and_standard_error(values)
    return {"mean": mean, "standard_error": error}


def median_seconds_per_step(history):
    """Median over the epochs; None after a single one, since the first includes compiling."""
    timed = [row["seconds"] / (row["step"] - before["step"]) for before, row in itertools.pairwise(history)]
    return statistics.median(timed) if timed else None


def num_parameters(model):
    return int(sum(np.prod(weight.shape) for weight in model.trainable_weights))


def export(model, folder):
    """Writes the model for Keras and for serving."""
    model.save(folder / "model.keras")
    tfp_iaf.serving.export(model, folder / "saved_model", overwrite=True)


def markdown_table(headers, rows):
    lines = [f"| {' | '.join(cells)} |" for cells in (headers, *rows)]
    return "\n".join([lines[0], "|---" * len(headers) + "|", *lines[1:]])


def with_error(figure, digits=2):
    """A mean and its standard error, as text."""
    return f"{figure['mean']:.{digits}f} ± {figure['standard_error']:.{digits}f}"
