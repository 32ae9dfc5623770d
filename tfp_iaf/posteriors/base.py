"""What all posteriors share: a Gaussian base read off the features, and a chain of flows on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import _convolutions, scales
from tfp_iaf._arguments import flag
from tfp_iaf._eager import run_compiled
from tfp_iaf._inherited import has_methods_of_declaration
from tfp_iaf._tensors import check_numbers, count
from tfp_iaf._types import Seed, Shape, TensorLike
from tfp_iaf.bijectors import FlowBijector
from tfp_iaf.layers import density_dtype
from tfp_iaf.noise import gaussian_log_prob, seed_pair, standard_normal
from tfp_iaf.posteriors._shapes import check_flows, check_value, event_shape, refuse_log_det
from tfp_iaf.posteriors._symbolic import SymbolicLayer

__all__ = ["Posterior"]

tfd = tfp.distributions
# The methods of `Posterior` that a subclass may define and that run in a call.
_RUN_IN_CALLS = "base_scale", "call", "draw", "flows", "next_seed", "noise", "read", "reader", "log_prob_at"


class Posterior(SymbolicLayer):
    """A Keras layer from features to q(z|x): `z, log_q = posterior(features)`.

    ```none
    (loc, u, c) = readers(features)                  a linear layer for (loc, u), one for the flows' inputs c
    y = loc + scale(u) * eps, eps ~ N(0, I);         z = flow_K(... flow_1(y; c); c)
    log q(z|x) = log N(y; loc, scale^2) - sum_k log|det flow_k|
    ```

    How to write one: return the chain from `flows(flow_inputs)`, and say in `flow_size`, an attribute or a property, how many
    numbers (per place, where the latent has places) the features supply for it. Make networks in the constructor;
    whatever `flows` uses is built before the first call. A subclass without arguments of its own needs neither constructor nor
    `get_config`; register it with `keras.saving.register_keras_serializable()` to save models that hold it.

    The readers fit the latent: a dense layer for vectors, a convolution with kernels of 3 for `[T, C]` and `[H, W, C]`.
    Densities are in float32 under every policy but float64's. A layer draws in training and at inference alike, from a seed
    generator whose state is saved with the weights: a resumed run draws what the unbroken one would have, in every mode.

    Attributes:
        compiles_eager_calls: whether calls outside of a `tf.function` run as a graph, made at the first call of each kind. Set
            it to True if calls depend on weights and arguments alone. A subclass that overrides what a call runs has False.

    Args:
        latent_size: D, for a vector z. This or `latent_shape`.
        seed: integer seed of the noise; None draws one.
        latent_shape: (D,), (T, C) or (H, W, C), the shape of z.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        features: `[B, F]`, `[B, T, F]` or `[B, H, W, F]`, with the places of the latent.
        num_samples: S; None for one sample and no sample axis.
        seed: an integer or a pair, for noise that does not come from the layer's own generator.
        sample: False for the z at the base's mean (eps = 0) instead of a draw.
        value: a given z, `[..., B, *latent_shape]`, to score instead of a draw.

    Returns:
        z `[B, *latent_shape]` and log_q `[B]`, with `num_samples` `[S, B, *latent_shape]` and `[S, B]`; with `value` only its
        log_q, `[..., B]`.

    Raises:
        ValueError: if the features or the value do not fit, or an argument is out of range.
        NotImplementedError: with `value`, if a flow of the chain has no inverse.

    Source: Rezende and Mohamed 2015, section 4; Kingma et al. 2016, algorithm 1.

    >>> from tfp_iaf.bijectors import LinearCholeskyIAF
    >>> class Skewed(Posterior):
    ...     flow_size = 1
    ...     def flows(self, flow_inputs):
    ...         return [LinearCholeskyIAF(flow_inputs)]
    >>> posterior = Skewed(latent_size=2)
    >>> z, log_q = posterior(keras.ops.ones([5, 8]), num_samples=3)
    >>> z.shape, log_q.shape
    (TensorShape([3, 5, 2]), TensorShape([3, 5]))
    >>> bool(np.allclose(posterior(keras.ops.ones([5, 8]), value=z), log_q, atol=1e-4))
    True
    """

    compiles_eager_calls = False
    # The initializer of the kernel that reads the flows' inputs off the features.
    flow_initializer: Any = "glorot_uniform"
    flow_size: Any = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not has_methods_of_declaration(cls, "compiles_eager_calls", _RUN_IN_CALLS):
            cls.compiles_eager_calls = False

    def __init__(
        self,
        latent_size: int | None = None,
        seed: int | None = None,
        *,
        latent_shape: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        # Inputs are cast in `read`: a given z keeps its precision under a policy of half precision.
        super().__init__(seed, **{"autocast": False, **kwargs})
        self.event_shape = event_shape(latent_size, latent_shape)
        self.latent_size = self.event_shape[-1]
        self.density_dtype = density_dtype(self)
        self._event_axes = tuple(range(-len(self.event_shape), 0))
        self.base_layer = self.reader(2 * self.event_shape[-1], name="base")
        self.flow_layer: keras.layers.Layer | None = None
        self._in_size: int | None = None

    def flows(self, flow_inputs: tf.Tensor | None) -> list[FlowBijector]:
        """The chain: a list of `bijectors.FlowBijector`s in the order they act on y.

        Args:
            flow_inputs: `[..., flow_size]`, `[..., T, flow_size]` or `[..., H, W, flow_size]`; None if `flow_size` is 0.
        """
        del flow_inputs
        return []

    def base_scale(self, loc: tf.Tensor, unconstrained: tf.Tensor) -> tf.Tensor:
        """The base's scale, from its unconstrained value."""
        del loc
        return scales.softplus_scale(unconstrained)

    def reader(self, size: int, **kwargs: Any) -> keras.layers.Layer:
        """A layer that reads `size` numbers (per place) off the features."""
        kwargs["dtype"] = self.dtype_policy
        convolution = {1: None, 2: _convolutions.Conv1D, 3: _convolutions.Conv2D}[len(self.event_shape)]
        return convolution(size, 3, padding="same", **kwargs) if convolution else keras.layers.Dense(size, **kwargs)

    def build(self, features_shape: Shape) -> None:
        self._in_size = features_shape[-1]
        self.base_layer.build(features_shape)
        if self.flow_size:
            self.flow_layer = self.reader(self.flow_size, kernel_initializer=self.flow_initializer, name="flow")
            self.flow_layer.build(features_shape)
        self.build_flows()

    def build_flows(self) -> None:
        """Builds what the flows use, without the layers that read the features."""
        check_flows(self.name, self._some_flows())

    def _some_flows(self):
        inputs = tf.zeros([1, *self.event_shape[:-1], self.flow_size], self.density_dtype) if self.flow_size else None
        return self.flows(inputs)

    @property
    def readers(self) -> list[keras.layers.Layer]:
        """The layers that read the features."""
        return [layer for layer in (self.base_layer, self.flow_layer) if layer is not None]

    @property
    def splits_by_entry(self) -> bool:
        """Whether `draw` can give log q by entry."""
        return all(_defines(flow, "forward_and_log_derivatives") for flow in self._some_flows())

    @property
    def has_inverse(self) -> bool:
        """Whether `log_prob_at` works: where every flow has an inverse."""
        return all(_defines(flow, "inverse_and_log_det") for flow in self._some_flows())

    @property
    def has_score(self) -> bool:
        """Whether `draw_with_score` works: where every flow has an inverse, or finds the score without one."""
        return all(_defines(flow, "inverse_and_log_det", "forward_and_score") for flow in self._some_flows())

    @property
    def parameter_sizes(self) -> tuple[int, int, int]:
        """Sizes of the last axis of `draw`'s parameters: of loc, the unconstrained scale, and the flows' inputs."""
        return self.latent_size, self.latent_size, self.flow_size

    def read(self, features: TensorLike) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
        """(loc, unconstrained scale, flows' inputs or None) of the features: the parameters of `draw` and `log_prob_at`."""
        features = keras.ops.cast(features, self.compute_dtype)
        loc, unconstrained = tf.split(self.base_layer(features), 2, axis=-1)
        return loc, unconstrained, None if self.flow_layer is None else self.flow_layer(features)

    def draw(self, parameters: Sequence[tf.Tensor], noise: tf.Tensor, by_entry: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """(z, log q(z|x)) at this standard normal noise.

        Args:
            parameters: what `read` returns; of any floating dtype, the last axes as in `parameter_sizes`.
            noise: `[..., *latent_shape]`, whose leading axes broadcast with those of the parameters.
            by_entry: whether log q comes per entry, `[..., *latent_shape]`, in place of its sum; every flow then needs
                `forward_and_log_derivatives`.
        """
        loc, scale, flows = self._base_and_flows(parameters)
        z, log_q = loc + scale * noise, gaussian_log_prob(noise, scale)
        log_q = log_q if by_entry else tf.reduce_sum(log_q, axis=self._event_axes)
        for flow in flows:
            z, log_det = flow.forward_and_log_derivatives(z) if by_entry else flow.forward_and_log_det(z)
            log_q = log_q - log_det if len(np.shape(log_det)) <= len(log_q.shape) else refuse_log_det(self, flow, log_det)
        return z, log_q

    def draw_with_score(self, parameters: Sequence[tf.Tensor], noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """(z, log q(z|x), d log q(z|x) / dz with the parameters and weights held fixed) at this standard normal noise.

        The score of the base at its sample is known, and `FlowBijector.forward_and_score` takes it along. Flows that define
        that method are not inverted; others are. Arguments as in `draw`. No gradient flows through the score.
        """
        loc, scale, flows = self._base_and_flows(parameters)
        z, log_q = loc + scale * noise, tf.reduce_sum(gaussian_log_prob(noise, scale), axis=self._event_axes)
        score = tf.stop_gradient(-noise / scale)
        for flow in flows:
            z, log_det, score = flow.forward_and_score(z, score)
            log_q = log_q - log_det if len(np.shape(log_det)) <= len(log_q.shape) else refuse_log_det(self, flow, log_det)
            score = tf.stop_gradient(score)
        return z, log_q, score

    def log_prob_at(self, parameters: Sequence[tf.Tensor], z: tf.Tensor) -> tf.Tensor:
        """log q(z|x) of a given z `[..., *latent_shape]`, through the inverse of every flow; `parameters` as in `draw`."""
        loc, scale, flows = self._base_and_flows(parameters)
        y, log_prob = tf.cast(z, self.density_dtype), 0.0
        for flow in reversed(flows):
            y, log_det = flow.inverse_and_log_det(y)
            fits = len(np.shape(log_det)) <= len(y.shape) - len(self.event_shape)
            log_prob = log_prob - log_det if fits else refuse_log_det(self, flow, log_det)
        return log_prob + tf.reduce_sum(gaussian_log_prob((y - loc) / scale, scale), axis=self._event_axes)

    def __call__(
        self,
        features: TensorLike,
        *args: Any,
        num_samples: int | None = None,
        seed: Seed | None = None,
        sample: bool = True,
        value: TensorLike | None = None,
        **kwargs: Any,
    ) -> Any:
        # Checked here, since Keras buries an error raised in `call` under a report of the call's arguments.
        if not (isinstance(features, tf.Tensor) and features.dtype.is_floating):
            check_numbers(f"The features of {self.name}", features, symbolic=True)
        self.check_features_shape(np.shape(features))
        options = {}
        if seed is not None:
            options["seed"] = seed if keras.utils.is_keras_tensor(seed) else seed_pair(seed)
        if num_samples is not None:
            is_count = type(num_samples) is int and num_samples > 0
            options["num_samples"] = num_samples if is_count else count("num_samples", num_samples)
        if sample is not True and not flag("sample", sample):
            if options:
                raise ValueError(
                    f"{self.name} draws nothing with sample=False, whose z is the one at the base's mean: leave out "
                    f"{', '.join(options)}."
                )
            options["sample"] = False
        if value is None:
            return super().__call__(features, *args, **options, **kwargs)
        if options:
            raise ValueError(f"{self.name} scores the given value: leave out {', '.join(options)}, or leave out value.")
        check_value(self.name, value, self.event_shape, batch=np.shape(features)[0])
        try:
            return super().__call__(features, *args, value=value, **kwargs)
        except NotImplementedError:
            raise NotImplementedError(
                f"{self.name} cannot score a given z, since a flow of its chain has no inverse; log_q of its own samples comes "
                "with them."
            ) from None

    def call(
        self,
        features: TensorLike,
        num_samples: int | None = None,
        seed: Seed | None = None,
        sample: bool = True,
        value: TensorLike | None = None,
    ) -> Any:
        if not (self.compiles_eager_calls and tf.executing_eagerly()):
            return _answer(self, None, sample, features, num_samples, seed, value)
        if value is None and sample and seed is None:
            seed = self.next_seed()  # No two threads get the same one.
        num_samples = None if num_samples is None else tf.convert_to_tensor(num_samples, tf.int32)
        value = None if value is None else tf.convert_to_tensor(value, dtype_hint=self.density_dtype)
        # What Keras may change of a built layer, by `enable_lora` and `quantize`.
        kinds = tuple((layer.dtype_policy.name, getattr(layer, "lora_enabled", False)) for layer in self.readers)
        tensors, fixed = (features, num_samples, seed, value), (len(self.event_shape), 0, 1, len(self.event_shape))
        return run_compiled(self, _answer, (kinds, sample), tensors, fixed, at_once=value is None)

    def noise(self, parameters: Sequence[tf.Tensor], num_samples: int | None = None, seed: Seed | None = None) -> tf.Tensor:
        """Standard normal noise for `draw`: what a call with these arguments takes."""
        shape = tf.shape(parameters[0])
        shape = shape if num_samples is None else tf.concat([[num_samples], shape], axis=0)
        return standard_normal(shape, self.next_seed(seed), self.density_dtype)

    def log_prob(self, features: TensorLike, z: TensorLike) -> tf.Tensor:
        """log q(z|x) of given z, `[..., B, *latent_shape]` -> `[..., B]`: the same as `posterior(features, value=z)`."""
        check_numbers(f"z of {self.name}", z, symbolic=True)
        return self(features, value=z)

    def distribution(self, features: TensorLike) -> tfp.distributions.Distribution:
        """q(z|x) as a `tfd.Distribution`: batch_shape [B], the latent's event_shape, features captured.

        A `tfd.TransformedDistribution` of the base Gaussian and a `tfb.Chain` of the flows; without flows, the base alone.
        """
        if keras.utils.is_keras_tensor(features):
            raise ValueError("distribution takes arrays or tensors: in a functional model use posterior(features, value=z).")
        check_numbers(f"The features of {self.name}", features, symbolic=True)
        self.check_features_shape(np.shape(features))
        if not self.built:
            self.build(np.shape(features))
        loc, scale, flows = self._base_and_flows(self.read(features))
        base = tfd.MultivariateNormalDiag(loc, scale)
        if len(self.event_shape) > 1:
            base = tfd.Independent(tfd.Normal(loc, scale), reinterpreted_batch_ndims=len(self.event_shape))
        return tfd.TransformedDistribution(base, tfp.bijectors.Chain(flows[::-1])) if flows else base

    def check_features_shape(self, shape: Shape) -> None:
        """Raises a ValueError unless features of this shape fit."""
        places = self.event_shape[:-1]
        if len(shape) != len(places) + 2 or not tf.TensorShape(shape[1:]).is_compatible_with([*places, self._in_size]):
            expected = ["batch", *map(str, places), str(self._in_size or ("maps" if places else "size"))]
            raise ValueError(f"{self.name} expects features of shape [{', '.join(expected)}], got {tuple(shape)}.")

    def get_config(self) -> dict[str, Any]:
        shape = {"latent_shape": list(self.event_shape)} if len(self.event_shape) > 1 else {"latent_size": self.latent_size}
        return {**super().get_config(), **shape}

    def _base_and_flows(self, parameters):
        loc, unconstrained, flow_inputs = (None if part is None else tf.cast(part, self.density_dtype) for part in parameters)
        return loc, self.base_scale(loc, unconstrained), self.flows(flow_inputs)


def _answer(posterior, _kinds, sample, features, num_samples, seed, value):
    """What a call returns: (z, log_q) of a draw, or at the base's mean; log_q of a value."""
    parameters = posterior.read(features)
    if value is not None:
        return posterior.log_prob_at(parameters, value)
    if sample:
        return posterior.draw(parameters, posterior.noise(parameters, num_samples, seed))
    return posterior.draw(parameters, tf.zeros_like(parameters[0], posterior.density_dtype))


def _defines(flow, *methods):
    return any(getattr(type(flow), method, None) not in (None, getattr(FlowBijector, method)) for method in methods)
