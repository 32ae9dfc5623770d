"""Schedules of the training objective: warm-up of the KL term, annealing of the free energy."""

from __future__ import annotations

import numbers
import warnings

import keras

from tfp_iaf._arguments import given, integer, positive

__all__ = ["FreeEnergyAnnealing", "KLWarmUp"]


class KLWarmUp(keras.callbacks.Callback):
    """Moves the weight of the KL in the training loss linearly from `start` to `end` over the first `num_steps` steps.

    kl_weight = start + (end - start) min(1, iterations / num_steps), set before every batch (with `steps_per_execution` n,
    every n batches). It follows the optimizer's count of steps, so a resumed run goes on where it stopped. Evaluation (also
    `val_loss`) takes the weight 1, and so does training when `fit` is called without this callback. If `fit` ends before the
    warm-up is over, it warns.

    Args:
        num_steps: length of the warm-up, at least 1.
        start: the first weight, in [0, 1].
        end: the weight from then on. Another one than 1 trains a beta-VAE, whose loss is no bound on log p(x).

    Raises:
        ValueError: for arguments out of range; in `fit`, for a model whose loss has no KL term, since it has no latents or its
            objective is importance-weighted, and beside another schedule.

    Source: Bowman et al. 2016, section 3.1; Sonderby et al. 2016, section 2.3. beta-VAE: Higgins et al. 2017, equation 4.

    >>> KLWarmUp(num_steps=1000).weight_at(250)
    0.25
    """

    def __init__(self, num_steps: int, start: float = 0.0, end: float = 1.0) -> None:
        super().__init__()
        self.num_steps = integer("num_steps", num_steps)
        self.start = _start(start)
        self.end = positive("end", end)
        self._left = 1.0

    def weight_at(self, step: int) -> float:
        """kl_weight at the given optimizer step."""
        return self.start + (self.end - self.start) * min(1.0, step / self.num_steps)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if not hasattr(self.model, "kl_weight"):
            raise ValueError(f"KLWarmUp sets the KL weight of a model such as VAE, got {type(self.model).__name__}.")
        if not (self.model.weights_kl and self.model.has_latents):
            reason = "its objective is importance-weighted" if self.model.has_latents else "it has no latents"
            raise ValueError(
                f"The loss of this {type(self.model).__name__} has no KL term that KLWarmUp could weight, since {reason}: "
                "leave it out."
            )

        self._left = 1.0

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        _check_alone(self.model, kl_weight=self._left, inverse_temperature=1.0)
        self._left = _assign(self.model.kl_weight, self.weight_at(int(self.model.optimizer.iterations.numpy())))

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        _warn_if_unfinished(self, self.weight_at, "KL weight")
        self.model.kl_weight.assign(1.0)


class FreeEnergyAnnealing(keras.callbacks.Callback):
    """Lets beta in the annealed free energy E[log q(z|x) - beta log p(x, z)] rise to 1 over the first optimizer steps.

    beta = min(1, start + iterations / num_steps), set before every batch (with `steps_per_execution` n, every n batches). At a
    small beta the entropy of q counts most, so that it spreads over all that p(x, z) may later ask for. `KLWarmUp` weights the
    KL and leaves the likelihood as it is: another objective. As there, the schedule follows the optimizer's count of steps,
    and evaluation takes beta = 1.

    Args:
        num_steps: T, at least 1.
        start: the first beta, in [0, 1].

    Raises:
        ValueError: for arguments out of range; in `fit`, for a model that cannot be annealed so, and beside another schedule.

    Source: Rezende and Mohamed 2015, section 6.1 and equation 20.

    >>> FreeEnergyAnnealing().beta_at(5000)
    0.51
    """

    def __init__(self, num_steps: int = 10000, start: float = 0.01) -> None:
        super().__init__()
        self.num_steps = integer("num_steps", num_steps)
        self.start = _start(start)
        self._left = 1.0

    def beta_at(self, step: int) -> float:
        """beta at the given optimizer step."""
        return min(1.0, self.start + step / self.num_steps)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if not getattr(self.model, "anneals_free_energy", False):
            names = [name for name in ("objective", "free_bits") if hasattr(self.model, name)]
            settings = [f"{name}={getattr(self.model, name)!r}" for name in names]
            raise ValueError(
                "FreeEnergyAnnealing takes a VAE with objective 'elbo' or 'sticking_the_landing' and no free bits, whose loss "
                f"is a free energy, got {type(self.model).__name__}({', '.join(settings)})."
            )
        self._left = 1.0

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        _check_alone(self.model, kl_weight=1.0, inverse_temperature=self._left)
        self._left = _assign(self.model.inverse_temperature, self.beta_at(int(self.model.optimizer.iterations.numpy())))

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        _warn_if_unfinished(self, self.beta_at, "beta")
        self.model.inverse_temperature.assign(1.0)


def _check_alone(model, **expected):
    """Raises a ValueError if another callback has set one of the model's weights of terms."""
    for name, left in expected.items():
        found = float(getattr(model, name).numpy())
        if found != left:
            raise ValueError(
                f"Two callbacks anneal the same term: {name} is {found:.3g}, and was left at {left:.3g}. Use one of them."
            )


def _assign(variable, value):
    """Assigns the value, and returns it as the variable holds it, rounded."""
    variable.assign(value)
    return float(variable.numpy())


def _warn_if_unfinished(callback, weight_at, name):
    step = int(callback.model.optimizer.iterations.numpy())
    last = weight_at(max(step - 1, 0))
    if last != weight_at(callback.num_steps):
        warnings.warn(
            f"fit ended at step {step}, before {type(callback).__name__} with num_steps={callback.num_steps} did: the last "
            f"{name} was {last:.2g}. Train on with the same callback, or give it fewer steps.",
            stacklevel=2,
        )


def _start(start):
    if isinstance(start, bool) or not isinstance(start, numbers.Real) or not 0.0 <= start <= 1.0:
        raise ValueError(f"start must lie in [0, 1], got {given(start)}.")
    return float(start)
