"""Which validation of a training run is the best: a bound that is NaN is below all others."""

import math


def best_index(history):
    """The place of the best validation bound in a list of rows with `val_elbo`, the first of equal ones."""
    bounds = [-math.inf if math.isnan(row["val_elbo"]) else row["val_elbo"] for row in history]
    return bounds.index(max(bounds))


def best(history):
    """The row of the best validation bound."""
    return history[best_index(history)]


def summary(history):
    """The last and the best validation bound, for a result file."""
    return {"last": history[-1]["val_elbo"], "best": best(history)["val_elbo"]}


def without_gain(history):
    """How many validations there have been since the one with the best bound."""
    return len(history) - 1 - best_index(history) if history else 0
