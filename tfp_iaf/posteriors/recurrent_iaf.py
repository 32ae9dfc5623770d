"""The inverse autoregressive flow posterior with recurrent networks."""

import keras

from tfp_iaf.networks import RecurrentAutoregressiveNetwork
from tfp_iaf.posteriors._autoregressive_chain import AutoregressiveChain

__all__ = ["RecurrentIAF"]


@keras.saving.register_keras_serializable("tfp_iaf")
class RecurrentIAF(AutoregressiveChain):
    """q(z|x) of a chain of K inverse autoregressive steps, each with a recurrent network.

    ```none
    y ~ N(loc(x), diag(scale(x)^2));   c = context(x)
    z_1 = step_1(y; c);   z_k = step_k(reverse(z_{k-1}); c);   z = z_K
    log q(z|x) = log q(y|x) - sum_k log|det step_k|
    ```

    A step runs its cell over the D entries of the latent: the number of weights does not depend on D, and the density of a
    given z costs what a sample does. In return a sample takes K D products one after the other, where `IAF` takes K times
    the few of its layers. An untrained chain is near the identity (up to reversals).

    Args:
        latent_size: D.
        num_steps: K, the number of steps; each has a network of its own, and the order is reversed between them.
        units: size of each network's cell, or a sequence of sizes for a stack of cells.
        cell: "lstm" or "gru".
        context_size: C, read off the features by a dense layer; None for D, 0 for no context.
        bijector_fn: "affine" (equation 10), "gated", "location", "spline" (8 bins).
        seed: integer seed of the noise.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments, shapes and errors: see `Posterior`.

    Source: Kingma et al. 2016, first version, section 4.3.

    >>> posterior = RecurrentIAF(latent_size=4, units=16)
    >>> z, log_q = posterior(keras.ops.ones([5, 8]), num_samples=3)
    >>> z.shape, log_q.shape
    (TensorShape([3, 5, 4]), TensorShape([3, 5]))
    """

    def __init__(
        self, latent_size, num_steps=2, units=128, cell="lstm", context_size=None, bijector_fn="affine", seed=None, **kwargs
    ):
        super().__init__(latent_size, num_steps, context_size, bijector_fn, seed, **kwargs)
        self.networks = self.make_networks(RecurrentAutoregressiveNetwork, units=units, cell=cell)

    def get_config(self):
        first = self.networks[0]
        return {**super().get_config(), "units": list(first.units), "cell": first.cell}
