"""The VampPrior: a mixture of the model's own posteriors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfp_iaf._arguments import integer, layer_seed
from tfp_iaf._types import Seed, TensorLike
from tfp_iaf.noise import standard_normal, uniform
from tfp_iaf.priors.base import Prior

__all__ = ["VampPrior"]


@keras.saving.register_keras_serializable("tfp_iaf")
class VampPrior(Prior):
    """p(z) = (1/C) sum_c q(z | u_c): the model's posterior, averaged over C learned pseudo-inputs u_c.

    ```none
    log p(z) = logsumexp_c log q(z | u_c) - log C
    u_c = low + (high - low) sigmoid(v_c) for data within [low, high], v_c for unbounded data;  v_c ~ N(0, I) at the start
    sample at temperature t: c uniform;  z ~ q(z | u_c), the noise of its base times t
    ```

    The pseudo-inputs are the prior's only weights. It reads encoder and posterior of the model that it is given to, the encoder
    in inference mode, and no file holds those twice. An activity regularizer of the encoder applies to the pseudo-inputs too.
    Under a "bernoulli" likelihood they lie in [0, 1], under "discretized_logistic" in [0, 255]; otherwise they are any real
    numbers.

    A density evaluates log q(z | u_c) for every z and c; with a flow posterior that is a product of C and the number of z
    inversions of each flow. `GaussianMixture` and `AutoregressiveFlow` are cheaper there.

    Args:
        num_components: C.
        seed: integer seed of the first pseudo-inputs; None draws one.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Shapes and errors: see `Prior`. A ValueError too without a model or with a second one, in conditional models, and where a
    flow of the posterior has no inverse.

    Source: Tomczak and Welling 2018, "VAE with a VampPrior", equation 9.

    >>> from tfp_iaf import models, posteriors
    >>> encoder, decoder = keras.layers.Dense(8), keras.layers.Dense(6)
    >>> model = models.VAE(encoder, posteriors.DiagonalGaussian(2), decoder, prior=VampPrior(num_components=10))
    >>> model.build((None, 6))
    >>> model.prior.log_prob(model.prior.sample(5, seed=0)).shape, model.prior.pseudo_inputs().shape
    (TensorShape([5]), TensorShape([10, 6]))
    """

    def __init__(self, num_components: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_components = integer("num_components", num_components)
        self.seed = layer_seed(seed)
        self._model: Callable[[], keras.Model] | None = None

    def connect(self, model: keras.Model) -> None:
        if model.condition_shape is not None:
            raise ValueError("A VampPrior has no pseudo-inputs for conditions: give a conditional model another prior.")
        if not model.posterior.has_inverse:
            raise ValueError(f"A VampPrior scores given z, and a flow of {model.posterior.name} has no inverse.")
        if self._model is not None and self._model() is not model:
            raise ValueError("This VampPrior is part of another model, whose posterior it reads: give each model its own.")
        # Hidden in a function, so that Keras does not find its layers here: the model trains and saves them.
        self._model = lambda: model

    def build(self, latent_shape: Sequence[int]) -> None:
        super().build(latent_shape)
        if self._model is None:
            raise ValueError("A VampPrior is made of a model's posterior: pass it to a model as prior=, which builds it.")
        self._unconstrained = self.add_weight(
            name="pseudo_inputs",
            shape=(self.num_components, *self._model().data_shape),
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=self.seed),
            autocast=False,
        )

    def get_build_config(self) -> dict[str, Any]:
        # None: the model builds the prior after it has connected it.
        return None

    def pseudo_inputs(self) -> tf.Tensor:
        """u, `[C, *data_shape]`."""
        u = tf.cast(tf.convert_to_tensor(self._unconstrained), self.density_dtype)
        limits = self._model().likelihood.data_range
        return u if limits is None else limits[0] + (limits[1] - limits[0]) * tf.sigmoid(u)

    def _parameters(self):
        model = self._model()
        return model.posterior.read(model.encoder(self.pseudo_inputs(), training=False))

    def log_prob(self, z: tf.Tensor, condition: TensorLike | None = None) -> tf.Tensor:
        del condition
        z = tf.expand_dims(self.as_latents(z), -len(self.latent_shape) - 1)
        log_q = self._model().posterior.log_prob_at(self._parameters(), z)
        return tf.reduce_logsumexp(log_q, axis=-1) - math.log(self.num_components)

    def sample(self, n: int, seed: Seed, temperature: float = 1.0, condition: TensorLike | None = None) -> tf.Tensor:
        del condition
        n, seed, temperature = self.check_sample_arguments(n, seed, temperature)
        for_component, for_noise = (tf.random.experimental.stateless_fold_in(seed, k, alg="philox") for k in (0, 1))
        u = uniform([n], for_component, self.density_dtype)
        component = tf.minimum(tf.cast(u * self.num_components, tf.int32), self.num_components - 1)
        parameters = [None if part is None else tf.gather(part, component) for part in self._parameters()]
        noise = standard_normal([n, *self.latent_shape], for_noise, self.density_dtype)
        return self._model().posterior.draw(parameters, temperature * noise)[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_components": self.num_components, "seed": self.seed}
