"""The evaluation of a long run, in pieces that a kill does not lose."""

import os

import numpy as np

from tfp_iaf import evaluation

IMAGES_PER_PIECE = 250
BATCH_SIZE = 125


def evaluate(model, x, path, *, elbo_samples, importance_samples, report=print):
    """Bound, log p(x) and effective sample size of every example, float64 `[3, N]`, each piece with noise of its own.

    Args:
        model: the trained model.
        x: the examples.
        path: an .npy file of what is done so far; written after every piece, and read when it is there.
        elbo_samples, importance_samples: per example.
        report: is given a line of text after every piece.
    """
    done = np.load(path) if path.exists() else np.zeros([3, 0])
    while done.shape[1] < len(x):
        start = done.shape[1]
        piece, seed = x[start : start + IMAGES_PER_PIECE], [1, start]
        bound = evaluation.elbo(model, piece, elbo_samples, batch_size=BATCH_SIZE, seed=seed, verbose=False)
        log_likelihood, sample_size = evaluation.log_likelihood(
            model,
            piece,
            importance_samples,
            batch_size=BATCH_SIZE,
            seed=seed,
            verbose=False,
            return_effective_sample_size=True,
        )
        done = np.concatenate([done, [bound, log_likelihood, sample_size]], axis=1)
        temporary = path.with_name(f"writing-{path.name}")
        np.save(temporary, done)
        os.replace(temporary, path)
        report(f"{done.shape[1]:,} of {len(x):,} test images: bound {done[0].mean():.3f}, log p(x) {done[1].mean():.3f}")
    return done


def is_complete(path, x):
    """Whether `evaluate` has written the figures of every example to the file."""
    return path.exists() and np.load(path).shape[1] == len(x)


def summary(values):
    """The figures of `evaluate` for a result file; of the effective sample sizes the mean and the smallest."""
    bound, log_likelihood = (
        dict(zip(("mean", "standard_error"), evaluation.mean_and_standard_error(row))) for row in values[:2]
    )
    log_likelihood |= {
        "effective_sample_size": float(values[2].mean()),
        "smallest_effective_sample_size": float(values[2].min()),
    }
    return {"elbo": bound, "log_likelihood": log_likelihood, "images": values.shape[1]}
