"""Fits a surrogate posterior with settings that work for most targets."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import _compat
from tfp_iaf._arguments import flag, given, integer, positive
from tfp_iaf._progress import is_interactive
from tfp_iaf._types import Seed
from tfp_iaf.bijectors import FlowBijector
from tfp_iaf.noise import seed_pair
from tfp_iaf.vi._target import at_draws, check_one_posterior, log_density

__all__ = ["Fit", "fit"]

# Optimizer steps that run in one call of a compiled function.
_CHUNK = 100
# Draws that the bound is estimated from.
_BOUND_DRAWS = 4096
# The first weight of an annealed target.
_FIRST_BETA = 0.01


class Fit(NamedTuple):
    """What `fit` found.

    Args:
        elbo: the bound of the fitted surrogate, in nats, at draws that no training step saw.
        learning_rate: the one that led there.
        elbos: the bound for every learning rate.
        losses: minus the bound at every training step of the best run, `[num_steps]`.
        skipped_steps: the number of its steps in which the gradient of a draw was not finite, and nothing was learned.
    """

    elbo: float
    learning_rate: float
    elbos: dict
    losses: np.ndarray
    skipped_steps: int

    def __repr__(self) -> str:
        values = {**self._asdict(), "losses": f"<{len(self.losses)} numbers>"}
        return f"Fit({', '.join(f'{name}={value}' for name, value in values.items())})"


def fit(
    joint_distribution: tfp.distributions.Distribution | Callable,
    surrogate_posterior: tfp.distributions.Distribution,
    num_steps: int = 2000,
    sample_size: int = 256,
    learning_rates: Sequence[float] = (1e-2, 3e-3),
    annealing_steps: int = 0,
    seed: Seed = 0,
    verbose: bool = True,
    jit_compile: bool | None = None,
) -> Fit:
    """Fits a surrogate posterior by path gradients, and keeps the best of a few learning rates.

    ```none
    maximize  E_q[log p(z) - log q(z)]
    by        (d log p(z)/dz - d log q(z)/dz) dz/d parameters     averaged over `sample_size` draws
    ```

    The gradient leaves out d log q / d parameters at a fixed z, whose mean is zero. What remains vanishes for every draw once q
    equals p, so training comes to rest there. Adam's learning rate falls to zero along a cosine. Training begins anew for every
    rate, with the surrogate's variables as they were, and the best ones are assigned at the end.

    With `annealing_steps` the weight of log p(z) rises linearly from 0.01 to 1 over the first steps of each run. The surrogate
    then begins wide, and finds modes that it would miss otherwise.

    Args:
        joint_distribution: a `tfd.JointDistribution`, pinned or not, or a function from the surrogate's samples to an
            unnormalized log-density.
        surrogate_posterior: a `tfd.TransformedDistribution` with trainable variables, such as one of
            `build_iaf_surrogate_posterior` or `without_features`, whose base has reparameterized samples of one tensor, and
            without batch shape. Its variables are trained; those of the joint distribution stay as they are.
        num_steps: optimizer steps per learning rate.
        sample_size: draws per step.
        learning_rates: at the start of each run.
        annealing_steps: optimizer steps over which the weight of the target rises, at most `num_steps`; 0 for none.
        seed: an integer or a pair; equal seeds give equal fits on one machine.
        verbose: whether to show progress in a terminal or notebook. Nothing is written to files and pipes.
        jit_compile: whether to compile with XLA. Leave it off where the joint distribution is an auto-batched one: TensorFlow
            would compile every 100 steps anew.

    Returns:
        A `Fit`.

    Raises:
        ValueError: for arguments out of range, a surrogate of another kind or without trainable variables, a target that does
            not give one value per draw or whose gradient does not reach the draws, or if the bound is not finite for any
            learning rate; the surrogate is then left as it was.

    Source: Roeder et al. 2017, "Sticking the landing"; Vaitl et al. 2024 for flows. Annealing: Rezende and Mohamed 2015,
    equation 20.

    >>> import tensorflow_probability as tfp
    >>> from tfp_iaf import vi
    >>> tfd = tfp.distributions
    >>> joint = tfd.JointDistributionNamed({"mean": tfd.Normal(0.0, 1.0), "x": lambda mean: tfd.Normal(mean, 1.0)})
    >>> pinned = joint.experimental_pin(x=1.0)
    >>> surrogate = vi.build_iaf_surrogate_posterior(pinned, num_flows=1, hidden_units=(8,))
    >>> result = vi.fit(pinned, surrogate, num_steps=200, learning_rates=[0.05])
    >>> bool(abs(surrogate.sample(10000, seed=1)["mean"].numpy().mean() - 0.5) < 0.05)
    True
    """
    num_steps, sample_size = integer("num_steps", num_steps), integer("sample_size", sample_size)
    if not isinstance(learning_rates, list | tuple | np.ndarray) or not len(learning_rates):
        raise ValueError(f"learning_rates must be a sequence of positive numbers, got {given(learning_rates)}.")
    annealing_steps = integer("annealing_steps", annealing_steps, at_least=0)
    if annealing_steps > num_steps:
        raise ValueError(
            f"annealing_steps must be at most num_steps={num_steps}, or the target never gets its full weight, got "
            f"{annealing_steps}."
        )
    flag("verbose", verbose)
    jit_compile = None if jit_compile is None else flag("jit_compile", jit_compile)
    rates = [positive("A learning rate", rate) for rate in learning_rates]
    check_one_posterior(surrogate_posterior)
    if any(tf.TensorShape(shape).rank != 0 for shape in tf.nest.flatten(surrogate_posterior.batch_shape)):
        raise ValueError(
            f"surrogate_posterior must have no batch shape, got {given(surrogate_posterior.batch_shape)}: of one row of "
            "features fit would train the flows, and not what reads the features. Train an amortized surrogate in a loop of "
            "your own, or take vi.without_features(layer)."
        )
    variables = list(getattr(surrogate_posterior, "trainable_variables", ()))
    if not variables or not (hasattr(surrogate_posterior, "bijector") and hasattr(surrogate_posterior, "distribution")):
        raise ValueError(
            "surrogate_posterior must be a tfd.TransformedDistribution with trainable variables, such as "
            f"vi.build_iaf_surrogate_posterior returns, got {given(surrogate_posterior)} with {len(variables)} variables."
        )
    base = surrogate_posterior.distribution
    if tf.nest.is_nested(base.dtype) or base.reparameterization_type != tfp.distributions.FULLY_REPARAMETERIZED:
        raise ValueError(
            f"The base of surrogate_posterior must have reparameterized samples of one tensor, got {given(base)}: no path "
            "gradients pass through others. tfp.vi.fit_surrogate_posterior takes any surrogate of TFP's."
        )
    target, seed = log_density(joint_distribution, surrogate_posterior), tf.constant(seed_pair(seed))
    start = [variable.numpy() for variable in variables]
    trainer = _Trainer(target, surrogate_posterior, variables, num_steps, sample_size, annealing_steps, seed, jit_compile)
    progress = keras.utils.Progbar(num_steps * len(rates), unit_name="step") if verbose and is_interactive() else None
    runs = []
    for k, rate in enumerate(rates):
        _assign(variables, start)
        losses, skipped = trainer.train(
            rate, lambda done, elbo, k=k: progress and progress.update(k * num_steps + done, [("elbo", elbo)])
        )
        runs.append((trainer.bound(), rate, losses, [variable.numpy() for variable in variables], skipped))
    finite = [run for run in runs if np.isfinite(run[0])]
    if not finite:
        _assign(variables, start)
        raise ValueError(
            f"The bound is not finite after training with any of the learning rates {rates}: give smaller ones, and check that "
            "the target's log-density is finite wherever the surrogate draws. Over a plain vector it draws all real numbers: "
            "write unknowns that are positive or bounded as functions of such numbers."
        )
    elbo, rate, losses, values, skipped = max(finite, key=lambda run: run[0])
    if skipped == num_steps:
        _assign(variables, start)
        raise ValueError(
            "The gradient of the target was not finite in any step, so that nothing was learned: look for tf.where, whose "
            "gradient is NaN where the branch that is not taken overflows, and for logarithms of 0."
        )
    _assign(variables, values)
    if skipped > 0.05 * num_steps:
        warnings.warn(
            f"In {skipped} of {num_steps} steps the gradient of the target was not finite at some draw, and nothing was "
            "learned: check that the target is finite wherever the surrogate draws.",
            stacklevel=2,
        )
    return Fit(elbo, rate, {run[1]: run[0] for run in runs}, losses, skipped)


class _Trainer:
    """Adam on the path gradient, traced and compiled once for all learning rates."""

    def __init__(self, target, surrogate, variables, num_steps, sample_size, annealing_steps, seed, jit_compile):
        self._num_steps, self._seed = num_steps, seed
        self._rate = tf.Variable(0.0, trainable=False)
        optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(self._rate, num_steps))
        optimizer.build(variables)
        self._state = [(variable, variable.numpy()) for variable in optimizer.variables]
        dtype = variables[0].dtype

        def step(index, skipped, losses):
            beta = tf.minimum(tf.cast(index, dtype) / annealing_steps + _FIRST_BETA, 1.0) if annealing_steps else 1.0
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                loss, value = _path_loss(target, surrogate, sample_size, _folded(seed, index), beta)
            gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
            # A draw without a finite gradient would end the run: such a step goes on with Adam's momentum alone.
            is_finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
            optimizer.apply([tf.where(is_finite, gradient, tf.zeros_like(gradient)) for gradient in gradients], variables)
            return index + 1, skipped + tf.cast(~is_finite, tf.int32), losses.write(index % _CHUNK, value)

        @tf.function(jit_compile=jit_compile, autograph=False)
        def chunk(first, last):
            start = first, 0, tf.TensorArray(dtype, _CHUNK)
            _, skipped, losses = tf.while_loop(lambda index, *_: index < last, step, start, maximum_iterations=_CHUNK)
            return losses.stack(), skipped

        @tf.function(jit_compile=jit_compile, autograph=False)
        def bound():
            z, log_q = surrogate.experimental_sample_and_log_prob(_BOUND_DRAWS, seed=_folded(seed, -1))
            _warn_of_variables_left_out(_compat.variables_read(), surrogate)
            return tf.reduce_mean(at_draws(target, z, log_q) - log_q)

        # Traced here: TensorFlow warns of retracing where several fits make functions of one code.
        index = tf.TensorSpec([], tf.int32)
        self._chunk, self._bound = chunk.get_concrete_function(index, index), bound.get_concrete_function()

    def train(self, rate, report):
        """Trains the variables from where they are; returns the losses, and the number of steps without a finite gradient."""
        self._rate.assign(rate)
        for variable, value in self._state:
            variable.assign(value)
        found, skipped = [], 0
        for first in range(0, self._num_steps, _CHUNK):
            last = min(first + _CHUNK, self._num_steps)
            losses, of_chunk = self._chunk(tf.constant(first), tf.constant(last))
            found.append(losses.numpy()[: last - first])
            skipped += int(of_chunk)
            report(last, -found[-1].mean())
        return np.concatenate(found), skipped

    def bound(self):
        return float(self._bound())


def _warn_of_variables_left_out(read, surrogate):
    """Looks at the variables that the surrogate's draws have read: a Keras layer's are not among those that TFP lists."""
    flows = [module for module in surrogate.submodules if isinstance(module, FlowBijector)]
    of_flows = (variable for flow in flows for variable in _compat.tf_variables(flow.keras_weights))
    known = [*surrogate.variables, *of_flows, *_compat.variables_of_fixed(surrogate)]
    left_out = {id(variable): variable.name for variable in read if variable.trainable}
    for variable in known:
        left_out.pop(id(variable), None)
    if left_out:
        warnings.warn(
            f"surrogate_posterior reads variables ({', '.join(sorted(left_out.values())[:3])}) that are not among its "
            "trainable_variables, so fit leaves them as they are. To train a Keras layer that one of its bijectors evaluates, "
            "keep tuple(weight.value for weight in layer.trainable_weights) as an attribute of that bijector.",
            stacklevel=4,
        )


def _path_loss(target, surrogate, sample_size, seed, beta=1.0):
    """(a loss whose gradient is the path gradient of E[log q - beta log p], the estimate of E[log q - log p])."""
    base = surrogate.distribution
    y = base.sample(sample_size, seed=seed)
    given = tf.stop_gradient(y)
    with tf.GradientTape() as tape:
        tape.watch(given)
        log_q = base.log_prob(given)
    score = tape.gradient(log_q, given)
    event_ndims = len(base.event_shape)
    trained, fixed = _trained_and_fixed(surrogate.bijector)
    for bijector in trained:
        y, log_det, score = _forward_and_score(bijector, y, score, event_ndims)
        log_q -= log_det
        event_ndims = bijector.forward_event_ndims(event_ndims)
    z = tf.nest.map_structure(tf.stop_gradient, y)
    parts = tf.nest.flatten(z)
    with tf.GradientTape() as tape:
        tape.watch(parts)
        # A chain without parts takes no structures.
        x, log_det = tf.nest.map_structure(tf.identity, z), tf.zeros_like(log_q)
        if fixed.bijectors:
            x, log_det = fixed.forward(z), fixed.forward_log_det_jacobian(z, event_ndims)
    draws = tf.nest.map_structure(tf.stop_gradient, x)
    with tf.GradientTape() as of_target:
        of_target.watch(tf.nest.flatten(draws))
        log_p = at_draws(target, draws, log_q)
    gradients = of_target.gradient(log_p, tf.nest.flatten(draws))
    if all(gradient is None for gradient in gradients):
        raise ValueError(
            "The target's log-density has no gradient with respect to the draws: compute it with differentiable operations of "
            "TensorFlow, without NumPy, tf.round and casts to integers."
        )
    moved = tf.nest.flatten(x)
    ahead = [tf.zeros_like(part) if gradient is None else beta * gradient for part, gradient in zip(moved, gradients)]
    # The density of the value before the fixed part: the score of that part is then not needed.
    theirs = tape.gradient([*moved, log_det], parts, output_gradients=[*ahead, tf.ones_like(log_det)])
    loss = 0.0
    for part, our_score, their_score in zip(tf.nest.flatten(y), tf.nest.flatten(score), theirs):
        loss += tf.reduce_sum(tf.stop_gradient(our_score - their_score) * part) / sample_size
    return loss, tf.reduce_mean(log_q - log_det - log_p)


def _trained_and_fixed(bijector):
    """(the parts of a chain up to the last that has variables, in the order in which they act; a chain of the others)."""
    parts = _in_order(bijector)
    count = max((k for k, part in enumerate(parts, 1) if part.trainable_variables), default=0)
    return parts[:count], tfp.bijectors.Chain(parts[count:][::-1])


def _in_order(bijector):
    if not isinstance(bijector, _compat.Chain) or _compat.is_fixed(bijector):
        return [bijector]
    return [each for part in reversed(bijector.bijectors) for each in _in_order(part)]


def _forward_and_score(bijector, y, score, event_ndims):
    """`FlowBijector.forward_and_score` for any bijector, of values that may be nested."""
    if hasattr(bijector, "forward_and_score"):
        return bijector.forward_and_score(y, score)
    z = bijector.forward(y)
    ndims = bijector.forward_event_ndims(event_ndims)
    given = tf.nest.map_structure(tf.stop_gradient, z)
    with tf.GradientTape() as tape:
        tape.watch(tf.nest.flatten(given))
        back = bijector.inverse(given)
        log_det = -bijector.inverse_log_det_jacobian(given, event_ndims=ndims)
        ahead = tf.add_n(
            [tf.reduce_sum(a * tf.stop_gradient(b)) for a, b in zip(tf.nest.flatten(back), tf.nest.flatten(score))]
        )
        ahead -= tf.reduce_sum(log_det)
    gradients = tape.gradient(ahead, tf.nest.flatten(given), unconnected_gradients="zero")
    return z, log_det, tf.nest.pack_sequence_as(given, gradients)


def _folded(seed, index):
    return tf.random.experimental.stateless_fold_in(seed, index, alg="philox")


def _assign(variables, values):
    for variable, value in zip(variables, values):
        variable.assign(value)
