"""The prior of a hierarchical VAE: each latent given those above it."""

import math

import numpy as np
import tensorflow as tf

from tfp_iaf._tensors import check_numbers, count
from tfp_iaf._tensors import temperature as checked_temperature
from tfp_iaf.layers import density_dtype
from tfp_iaf.noise import seed_pair, standard_normal

__all__ = ["LadderPrior", "check_latents", "noise_of_latents"]


class LadderPrior:
    """p(z_1 ... z_L) = prod_l N(z_l; loc_l, scale_l^2), where loc_l and scale_l are functions of z_{l+1} ... z_L.

    It is a view on the ladder, which owns the weights.

    Args:
        ladder: a built `Ladder`.
        condition_rows: a function (condition, number of rows) -> the condition as a tensor of as many rows, or None.
    """

    def __init__(self, ladder, condition_rows):
        self._ladder = ladder
        self._condition_rows = condition_rows

    def log_prob(self, z, condition=None):
        """log p(z), or log p(z | condition), `[B]`, of a list of z_1 ... z_L, `[B, H, W, C]` each."""
        check_latents(self._ladder, z)
        num_rows = np.shape(z[0])[0] or tf.shape(z[0])[0]
        log_p = []

        def score(index, prior):
            latent = tf.cast(z[index], density_dtype(self._ladder))
            by_group = self._ladder.stochastic_layers[index].prior_log_prob(prior, latent)
            log_p.append(tf.reduce_sum(by_group, axis=-1))
            return latent

        self._ladder.down(num_rows, self._condition_map(condition, num_rows), score)
        return tf.add_n(log_p)

    def sample(self, num_samples, seed, temperature=1.0, condition=None):
        """A list of z_1 ... z_L, `[num_samples, H, W, C]` each.

        Args:
            num_samples: a positive integer.
            seed: an integer or a pair; equal seeds give equal draws.
            temperature: factor of the scales, at least 0; below 1, samples closer to the mode.
            condition: of a conditional model, `[num_samples, condition_size]`, or one that all samples share.
        """
        return self.sample_and_decode(num_samples, seed, temperature, condition)[0]

    def sample_and_decode(self, num_samples, seed, temperature=1.0, condition=None):
        """(z_1 ... z_L, the likelihood's parameters there), in one way down."""
        num_samples = count("num_samples", num_samples)
        temperature = tf.cast(checked_temperature(temperature), density_dtype(self._ladder))
        noise = noise_of_latents(self._ladder, num_samples, seed_pair(seed))
        z = [None] * len(noise)

        def draw(index, prior):
            loc, scale = prior
            z[index] = loc + temperature * scale * noise[index]
            return z[index]

        parameters = self._ladder.down(num_samples, self._condition_map(condition, num_samples), draw)
        return z, parameters

    def _condition_map(self, condition, num_rows):
        return self._ladder.condition_maps(self._condition_rows(condition, num_rows))[1]


def check_latents(ladder, z, num_rows=None):
    """Raises a ValueError unless z is a list of a ladder's latents, of so many rows if that is known."""
    expected = [layer.event_shape for layer in ladder.stochastic_layers]
    shapes = []
    for latent in z if isinstance(z, list | tuple) else [None]:
        check_numbers("Each of z_1 ... z_L, in a list,", z if latent is None else latent)
        shapes.append(tuple(np.shape(latent)))
    sizes = {shape[:1] for shape in shapes} | ({(num_rows,)} if num_rows is not None else set())
    if [shape[1:] for shape in shapes] != expected or len(sizes - {(None,)}) > 1:
        raise ValueError(
            f"The model takes a list of z_1 ... z_L of shapes [batch, *] {expected} and equal batches, got "
            f"{shapes}{'' if num_rows is None else f' for {num_rows} images'}."
        )


def noise_of_latents(ladder, num_rows, seed):
    """Standard normal noise of every latent of a ladder, `[num_rows, H, W, C]` each."""
    shapes = [layer.event_shape for layer in ladder.stochastic_layers]
    sizes = [math.prod(shape) for shape in shapes]
    noise = standard_normal([num_rows, sum(sizes)], seed, tf.as_dtype(density_dtype(ladder)))
    return [tf.reshape(part, [-1, *shape]) for part, shape in zip(tf.split(noise, sizes, axis=-1), shapes)]
