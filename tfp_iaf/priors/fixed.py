"""A prior that is a given distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import _registered
from tfp_iaf._arguments import given
from tfp_iaf._types import Seed, TensorLike
from tfp_iaf.priors.base import Prior

__all__ = ["Fixed"]

tfd = tfp.distributions


@keras.saving.register_keras_serializable("tfp_iaf")
class Fixed(Prior):
    """p(z) of a given `tfd.Distribution` without trainable variables; other variables that it reads are in no file.

    It is sampled at temperature 1 only, and ignores a condition. For a prior that learns write a `Prior`, whose weights Keras
    trains and saves.

    Args:
        distribution_fn: a function without arguments that returns the distribution; decorate it with
            `@keras.saving.register_keras_serializable()` to save the model. A `tfd.Distribution` serves as well, in models that
            are not written to `.keras` files.
        **kwargs: `name`, `dtype` of `keras.layers.Layer`.

    Raises:
        ValueError: for something else, and for a distribution that reads trainable variables, which nobody would train or save.
            When built: for a batch_shape other than [], an event_shape other than the latent's, a dtype other than the layer's.
            When saved: unless the function is registered. When sampled: for another temperature than 1.

    >>> prior = Fixed(lambda: tfd.MultivariateNormalDiag(tf.zeros([3]), 2.0 * tf.ones([3])))
    >>> prior.build((3,))
    >>> prior.log_prob(prior.sample(5, seed=0)).shape
    TensorShape([5])
    """

    def __init__(self, distribution_fn: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.distribution_fn = distribution_fn
        # In eager mode, wherever the layer is made: tensors of a function that is being traced would be lost after it.
        with tf.init_scope():
            self.distribution = _distribution(distribution_fn)
        _check_reads_no_trainable_variables(self.distribution)

    def build(self, latent_shape: Sequence[int]) -> None:
        super().build(latent_shape)
        distribution = self.distribution
        if distribution.event_shape != list(self.latent_shape) or distribution.batch_shape != []:
            is_batch = distribution.batch_shape.concatenate(distribution.event_shape) == list(self.latent_shape)
            remedy = (
                f"wrap it in tfd.Independent(..., {len(self.latent_shape)})"
                if is_batch
                else "give prior and posterior one size"
            )
            raise ValueError(
                f"The prior must have the event_shape of a latent, {tuple(self.latent_shape)}, and batch_shape (), got "
                f"event_shape {tuple(distribution.event_shape)} and batch_shape {tuple(distribution.batch_shape)}: {remedy}."
            )
        if distribution.dtype != self.density_dtype:
            raise ValueError(
                f"The prior must have dtype {self.density_dtype} as the model has, got {tf.as_dtype(distribution.dtype).name}."
            )

    def log_prob(self, z: tf.Tensor, condition: TensorLike | None = None) -> tf.Tensor:
        del condition
        return self.distribution.log_prob(self.as_latents(z))

    def sample(self, n: int, seed: Seed, temperature: float = 1.0, condition: TensorLike | None = None) -> tf.Tensor:
        del condition
        n, seed, checked = self.check_sample_arguments(n, seed, temperature)
        if tf.is_tensor(temperature) and not tf.executing_eagerly():
            with tf.control_dependencies([tf.debugging.assert_equal(checked, tf.ones_like(checked), "temperature must be 1.")]):
                n = tf.identity(n)
        elif float(temperature) != 1.0:
            raise ValueError(f"{self.name} is a given distribution, which has temperature 1 only: got {float(temperature)}.")
        return self.distribution.sample(n, seed=seed)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Fixed:
        # A file may name any function: only registered ones are called.
        return super().from_config({**config, "distribution_fn": _registered.deserialize(config["distribution_fn"])})

    def get_config(self) -> dict[str, Any]:
        function = self.distribution_fn
        if isinstance(function, tfd.Distribution):
            raise ValueError(
                "A tfd.Distribution as prior cannot be written into a file: pass a function that returns it, decorated with "
                "@keras.saving.register_keras_serializable(), or save the weights alone."
            )
        return {**super().get_config(), "distribution_fn": _registered.serialize("The prior's function", function)}


def _distribution(distribution_fn):
    if isinstance(distribution_fn, tfd.Distribution):
        return distribution_fn
    try:
        distribution = distribution_fn() if callable(distribution_fn) else distribution_fn
    except TypeError as error:
        raise ValueError(
            f"prior must be a tfd.Distribution or a function without arguments that returns one, got {given(distribution_fn)}, "
            f"which failed: {error}."
        ) from error
    if not isinstance(distribution, tfd.Distribution):
        raise ValueError(f"prior must be a tfd.Distribution or a function that returns one, got {given(distribution)}.")
    return distribution


def _check_reads_no_trainable_variables(distribution):
    # Evaluated to see what it reads, through closures and Keras layers too, which `trainable_variables` does not show.
    with tf.GradientTape() as tape:
        try:
            z = distribution.sample(seed=(0, 0))
        except NotImplementedError:
            z = tf.zeros(distribution.event_shape, distribution.dtype)
        distribution.log_prob(z)
    names = sorted({variable.name for variable in tape.watched_variables()})
    if names:
        raise ValueError(
            f"The prior reads trainable variables ({', '.join(names[:3])}), which nobody would train or save: make them "
            "fixed, take priors.AutoregressiveFlow or priors.GaussianMixture, or write a priors.Prior with weights of its own."
        )
