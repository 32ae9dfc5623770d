"""Free bits: a KL term that a model does not lower below a minimum of nats per group of latents."""

import tensorflow as tf

from tfp_iaf import objectives
from tfp_iaf._arguments import flag, non_negative

__all__ = ["FreeBits"]


class FreeBits:
    """The KL term of a model with free bits, and the weights that soft ones keep in the model.

    Args:
        minimum: lambda, nats per group; 0 for no free bits.
        is_soft: whether lambda acts through weights that follow it (`objectives.soft_free_bits_weights`).

    Raises:
        ValueError: for a negative lambda, or soft free bits without one.
    """

    def __init__(self, minimum, is_soft):
        minimum = non_negative("free_bits", minimum)
        if flag("soft_free_bits", is_soft) and not minimum:
            raise ValueError("soft_free_bits needs a number of nats to aim at: give free_bits, such as 0.1, got 0.")
        self.minimum = minimum
        self.is_soft = is_soft

    def make_weights(self, model, num_groups):
        """The weights of soft free bits, which the model saves; None for hard ones."""
        if not self.is_soft:
            return None
        return model.add_weight(
            name="free_bits_weights",
            shape=(num_groups,),
            initializer="ones",
            trainable=False,
            # Replicas of tf.distribute update it by their own parts of the batch.
            aggregation="mean",
            autocast=False,
            dtype=model.density_dtype,
        )

    def kl(self, kl_by_group, sample_weight, weights, training):
        """The KL term of the loss, a scalar.

        Args:
            kl_by_group: the KL by example and group, `[B, J]`.
            sample_weight: the examples' weights, `[B]`. The minimum holds for the weighted mean of an example.
            weights: of soft free bits, which training moves.
            training: whether it does.
        """
        mean_weight = tf.reduce_mean(sample_weight)
        kl_by_group *= tf.math.divide_no_nan(sample_weight, mean_weight)[:, tf.newaxis]
        if not self.is_soft:
            return mean_weight * objectives.free_bits(kl_by_group, self.minimum)
        values = tf.convert_to_tensor(weights)
        if training:
            moved = objectives.soft_free_bits_weights(values, kl_by_group, self.minimum)
            # Rows without weight, which fill up a batch, say nothing.
            weights.assign(tf.where(mean_weight > 0, moved, values))
        return mean_weight * tf.reduce_sum(values * tf.reduce_mean(kl_by_group, axis=0))
