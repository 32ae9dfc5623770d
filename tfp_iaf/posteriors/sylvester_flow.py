"""The Sylvester flow posterior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import scales
from tfp_iaf._arguments import choice, integer, positive
from tfp_iaf.bijectors import FlowBijector, ReverseOrder, Sylvester
from tfp_iaf.posteriors._amortized_chain import AmortizedChain

__all__ = ["SylvesterFlow"]

_VARIANTS = ("orthogonal", "householder", "triangular")


@keras.saving.register_keras_serializable("tfp_iaf")
class SylvesterFlow(AmortizedChain):
    """q(z|x) of a chain of K Sylvester flows on a diagonal Gaussian sample; the features give all of their parameters.

    ```none
    y ~ N(loc(x), diag(scale(x)^2));   (R_k, S_k, b_k, Q_k) read off the features
    z_k = z_{k-1} + Q_k R_k tanh(S_k Q_k' z_{k-1} + b_k)      (see `bijectors.Sylvester`)
    ```

    "orthogonal": Q_k has M columns, those of the identity at first, orthonormalized. "householder": Q_k is a product of
    reflections. "triangular": Q_k = I, and the order of the entries is reversed from one flow to the next.

    The rows of R_k and S_k have a norm below `row_norm`: without such a bound, float32 loses the density of a given z where the
    features are large.

    A sample and its density take some D x M products per flow after one linear layer with about M^2 outputs per flow, and D M
    more for "orthogonal"; the density of a given z takes M scalar roots per flow, one after the other.

    Args:
        latent_size: D.
        num_flows: K.
        variant: "orthogonal", "householder" or "triangular".
        num_columns: M <= D of "orthogonal"; None for D, but at most 16. (M is D in the others.)
        num_reflections: of "householder", per flow; None for 8. (The others have none.)
        row_norm: the bound of a row of R_k and S_k.
        **kwargs: `seed`, `name`, `dtype`, `trainable`.

    Call arguments, shapes and errors: see `Posterior`.

    Source: van den Berg et al. 2018, "Sylvester normalizing flows for variational inference", section 3.

    >>> posterior = SylvesterFlow(latent_size=3, num_flows=2)
    >>> z, log_q = posterior(keras.ops.ones([5, 8]))
    >>> z.shape, log_q.shape
    (TensorShape([5, 3]), TensorShape([5]))
    """

    def __init__(
        self,
        latent_size: int,
        num_flows: int = 4,
        variant: str = "orthogonal",
        num_columns: int | None = None,
        num_reflections: int | None = None,
        row_norm: float = 1.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(latent_size, num_flows, **kwargs)
        self.variant = choice("variant", variant, _VARIANTS)
        self.num_columns = self._of_variant("orthogonal", "num_columns", num_columns, min(self.latent_size, 16))
        if num_columns is not None and self.num_columns > self.latent_size:
            raise ValueError(f"num_columns must be at most latent_size={self.latent_size}, got {num_columns}.")
        self.num_reflections = self._of_variant("householder", "num_reflections", num_reflections, 8)
        self.row_norm = positive("row_norm", row_norm)

    def _of_variant(self, variant, name, value, default):
        """The checked value of an argument that one variant alone has."""
        value = None if value is None else integer(name, value)
        if self.variant == variant:
            return default if value is None else value
        if value is not None:
            raise ValueError(f"{name} belongs to variant={variant!r}, and this is variant={self.variant!r}: leave {name} out.")
        return None

    @property
    def zero_at_identity(self) -> Sequence[bool]:
        return True, False, False, False

    @property
    def sizes(self) -> Sequence[int]:
        """How many numbers make R, S, b and Q of one flow."""
        size = self.latent_size
        columns, of_q = size, 0
        if self.variant == "orthogonal":
            columns, of_q = self.num_columns, size * self.num_columns
        elif self.variant == "householder":
            of_q = self.num_reflections * size
        return columns * (columns + 1) // 2, columns * (columns + 1) // 2, columns, of_q

    def chain(self, parameters: tf.Tensor) -> list[FlowBijector]:
        first, *others = [self._flow(each) for each in tf.unstack(parameters, axis=-2)]
        reversal = [ReverseOrder()] if self.variant == "triangular" else []
        return [first, *(flow for other in others for flow in (*reversal, other))]

    def _flow(self, parameters):
        r, s, b, of_q = tf.split(parameters, self.sizes, axis=-1)
        return Sylvester(self._triangle(r), self._triangle(s), b, **self._q(of_q))

    def _triangle(self, entries):
        return scales.bounded_rows(tfp.math.fill_triangular(entries, upper=True), self.row_norm)

    def _q(self, of_q):
        if self.variant == "triangular":
            return {}
        height = self.latent_size if self.variant == "orthogonal" else self.num_reflections
        rows = tf.reshape(of_q, tf.concat([tf.shape(of_q)[:-1], [height, of_q.shape[-1] // height]], axis=0))
        rows = tf.ensure_shape(rows, of_q.shape[:-1].concatenate([height, of_q.shape[-1] // height]))
        if self.variant == "householder":
            return {"reflections": rows}
        return {"columns": rows + tf.eye(*rows.shape[-2:], dtype=rows.dtype)}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "variant": self.variant,
            "num_columns": self.num_columns,
            "num_reflections": self.num_reflections,
            "row_norm": self.row_norm,
        }
