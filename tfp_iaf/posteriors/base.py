"""What all posteriors share: a Gaussian base read off the features, and a chain of steps on top of it."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import scales
from tfp_iaf._arguments import integer
from tfp_iaf.layers import density_dtype
from tfp_iaf.posteriors._noise import gaussian_log_prob, standard_normal
from tfp_iaf.posteriors._seeded_layer import SeededLayer

__all__ = ["Posterior"]

tfb = tfp.bijectors
tfd = tfp.distributions


class Posterior(SeededLayer):
    """A Keras layer from features to q(z|x): `z, log_q = posterior(features)`.

    ```none
    loc, scale = from the features;   y = loc + scale * eps, eps ~ N(0, I);   z = step_K(... step_1(y))
    log q(z|x) = log N(y; loc, scale^2) - sum_k log|det step_k|
    ```

    A subclass says what the steps are in `steps(flow_inputs)`, and in `flow_size` how many numbers (over feature maps: how many
    maps) the features have to supply for them.

    Densities are computed in float32 under every policy but float64's.

    The noise comes from a `keras.random.SeedGenerator` of the layer's own. Its state is saved with the weights, so a resumed
    run draws the noise that the unbroken run would have drawn; it does not depend on `jit_compile`.

    Args:
        latent_size: D, the size of z.
        seed: integer seed of the noise; None draws one.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments: features `[B, F]`; `num_samples` S (None for one sample and no sample axis); `seed`, an int32 tensor
    of shape [2] for noise that does not come from the layer's own generator.
    Returns: z `[B, D]` and log_q `[B]`, or `[S, B, D]` and `[S, B]`.

    Raises:
        ValueError: if the features are not `[B, F]`, or a size is no positive integer.
    """

    # The initializer of the kernel that reads the steps' inputs off the features.
    flow_initializer = "glorot_uniform"

    def __init__(self, latent_size, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self.event_shape = self.event_shape_of(latent_size)
        self.base_layer = self.reader(2 * self.event_shape[-1], name="base")
        self.flow_layer = None

    def event_shape_of(self, latent_size):
        """The shape of z, of the constructor's first argument."""
        return (integer("latent_size", latent_size),)

    @property
    def latent_size(self):
        return self.event_shape[-1]

    def reader(self, size, **kwargs):
        """A layer that reads `size` numbers off the features."""
        return keras.layers.Dense(size, dtype=self.dtype_policy, **kwargs)

    @property
    def flow_size(self):
        """How many numbers a row of features supplies to the steps."""
        return 0

    def steps(self, flow_inputs):
        """The bijectors of the chain, in the order they act on y; `flow_inputs` is `[B, flow_size]`, None if that is 0."""
        del flow_inputs
        return []

    def build(self, features_shape):
        self.base_layer.build(features_shape)
        if self.flow_size:
            self.flow_layer = self.reader(self.flow_size, kernel_initializer=self.flow_initializer, name="flow")
            self.flow_layer.build(features_shape)

    def __call__(self, features, *args, **kwargs):
        # Checked here, since Keras buries an error raised in `call` under a report of the call's arguments.
        self._check_features(features)
        if kwargs.get("num_samples") is not None and not tf.is_tensor(kwargs["num_samples"]):
            integer("num_samples", kwargs["num_samples"])
        return super().__call__(features, *args, **kwargs)

    def call(self, features, num_samples=None, seed=None):
        loc, scale, steps = self._base_and_steps(features)
        shape = tf.shape(loc)
        if num_samples is not None:
            shape = tf.concat([[num_samples], shape], axis=0)
        noise = standard_normal(shape, self.next_seed(seed), loc.dtype)
        z = loc + scale * noise
        log_q = self._base_log_prob(noise, scale)
        for step in steps:
            z, log_det = step.forward_and_log_det(z)
            log_q -= log_det
        return z, log_q

    def distribution(self, features):
        """q(z|x) as a `tfd.Distribution`: batch_shape [B], the latent's event_shape, features captured.

        A `tfd.TransformedDistribution` of the base Gaussian and a `tfb.Chain` of the steps (for a chain without steps the
        base, itself such a distribution in TFP).
        """
        self._build_for(features)
        loc, scale, steps = self._base_and_steps(features)
        base = tfd.MultivariateNormalDiag(loc, scale)
        if len(self.event_shape) > 1:
            base = tfd.Independent(tfd.Normal(loc, scale), reinterpreted_batch_ndims=len(self.event_shape))
        return tfd.TransformedDistribution(base, tfb.Chain(steps[::-1])) if steps else base

    def log_prob(self, features, z):
        """log q(z|x) of given z, `[..., B, D]` -> `[..., B]`, through the inverse of every step."""
        self._build_for(features)
        z = tf.convert_to_tensor(z)
        if z.shape[-len(self.event_shape) :] != self.event_shape:
            raise ValueError(
                f"{self.name} expects z of shape [..., {str(list(self.event_shape))[1:-1]}], got {tuple(z.shape)}."
            )
        loc, scale, steps = self._base_and_steps(features)
        y = tf.cast(z, loc.dtype)
        log_prob = 0.0
        for step in steps[::-1]:
            y, log_det = step.inverse_and_log_det(y)
            log_prob -= log_det
        return log_prob + self._base_log_prob((y - loc) / scale, scale)

    def _base_log_prob(self, noise, scale):
        return tf.reduce_sum(gaussian_log_prob(noise, scale), axis=range(-len(self.event_shape), 0))

    def check_features_shape(self, shape):
        """Raises a ValueError unless features of this shape fit."""
        if len(shape) != 2:
            raise ValueError(f"{self.name} expects features of shape [batch, size], got {shape}.")

    def _check_features(self, features):
        self.check_features_shape(tuple(features.shape) if hasattr(features, "shape") else np.shape(features))

    def _build_for(self, features):
        self._check_features(features)
        if not self.built:
            self.build(np.shape(features))

    def _base_and_steps(self, features):
        features = keras.ops.cast(features, self.compute_dtype)
        loc, unconstrained = tf.split(tf.cast(self.base_layer(features), density_dtype(self)), 2, axis=-1)
        flow_inputs = None if self.flow_layer is None else tf.cast(self.flow_layer(features), density_dtype(self))
        return loc, scales.softplus_scale(unconstrained), self.steps(flow_inputs)

    def compute_output_spec(self, features, num_samples=None, seed=None):
        del seed
        leading = (features.shape[0],) if num_samples is None else (num_samples, features.shape[0])
        return (
            keras.KerasTensor((*leading, *self.event_shape), dtype=density_dtype(self)),
            keras.KerasTensor(leading, dtype=density_dtype(self)),
        )

    def get_config(self):
        return {**super().get_config(), "latent_size": self.latent_size}
