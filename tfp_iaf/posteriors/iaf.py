"""The inverse autoregressive flow posterior."""

import keras

from tfp_iaf.networks import AutoregressiveNetwork
from tfp_iaf.posteriors._autoregressive_chain import AutoregressiveChain

__all__ = ["IAF"]


@keras.saving.register_keras_serializable("tfp_iaf")
class IAF(AutoregressiveChain):
    """q(z|x) of a chain of K inverse autoregressive steps on a diagonal Gaussian sample.

    ```none
    y ~ N(loc(x), diag(scale(x)^2));   c = context(x)
    z_1 = step_1(y; c);   z_k = step_k(reverse(z_{k-1}); c);   z = z_K
    log q(z|x) = log q(y|x) - sum_k log|det step_k|
    ```

    A sample and its density cost one network evaluation a step; the density of a given z inverts the steps (see
    `bijectors.InverseAutoregressiveFlow`). An untrained chain is near the identity (up to reversals).

    Args:
        latent_size: D.
        num_steps: K, the number of steps; each has a network of its own, and the order is reversed between them.
        hidden_units: widths of each network's hidden layers.
        context_size: C, read off the features by a dense layer; None for D, 0 for no context.
        bijector_fn: "affine" (equation 10), "gated", "location", "spline" (8 bins).
        activation, residual: of the networks.
        seed: integer seed of the noise.
        weight_norm: of the networks; start them by `layers.initialize_weight_normalization(model, x)`.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments, shapes and errors: see `Posterior`.

    Source: Kingma et al. 2016, first version, section 4.1 and equation 10; final version, algorithm 1.

    >>> posterior = IAF(latent_size=4, num_steps=2, hidden_units=(16, 16))
    >>> z, log_q = posterior(keras.ops.ones([5, 8]), num_samples=3)
    >>> z.shape, log_q.shape
    (TensorShape([3, 5, 4]), TensorShape([3, 5]))
    """

    def __init__(
        self,
        latent_size,
        num_steps=2,
        hidden_units=(320, 320),
        context_size=None,
        bijector_fn="affine",
        activation="elu",
        residual=False,
        seed=None,
        weight_norm=False,
        **kwargs,
    ):
        super().__init__(latent_size, num_steps, context_size, bijector_fn, seed, **kwargs)
        self.activation = keras.activations.get(activation)
        self.residual = residual
        self.weight_norm = weight_norm
        self.networks = self.make_networks(
            AutoregressiveNetwork,
            hidden_units=hidden_units,
            activation=self.activation,
            residual=residual,
            weight_norm=weight_norm,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_units": list(self.networks[0].hidden_units),
            "activation": keras.activations.serialize(self.activation),
            "residual": self.residual,
            "weight_norm": self.weight_norm,
        }
