"""The additive coupling layer of NICE."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import _compat
from tfp_iaf._arguments import given
from tfp_iaf._tensors import check_numbers
from tfp_iaf._types import TensorLike
from tfp_iaf.bijectors._captured import captured
from tfp_iaf.bijectors._flow_spec import FlowSpec
from tfp_iaf.bijectors._network_flow import NetworkFlow
from tfp_iaf.bijectors._vector_flow import vector_event

__all__ = ["AdditiveCoupling"]


class AdditiveCoupling(NetworkFlow):
    """z_kept = y_kept, z_rest = y_rest + network(y_kept, context): some entries shift the others.

    ```none
    forward:  z_rest = y_rest + network([y_kept, context])
    inverse:  y_rest = z_rest - network([z_kept, context]);   one network evaluation, as forward
    log|det dz/dy| = 0
    ```

    A chain alternates which entries are kept. Volumes stay, so the width of a distribution comes from its base. The bijector
    owns no weights: it lists those of a Keras network as `trainable_variables`, without those that are frozen when it is made.

    Args:
        network: a Keras layer or model, or any function, from `[N, number of kept entries + C]` to `[N, number of the rest]`. A
            layer is built here if it is not yet.
        kept: D booleans, true for the entries that stay as they are; at least one, and not all.
        context: `[..., C]`; captured. Its leading dimensions become the bijector's batch shape. A variable is read with each
            call. None for a network without context.
        validate_args: as in `tfb.Bijector`.
        name: as in `tfb.Bijector`.

    Shapes: y and z `[..., D]`; log_det `[...]`. With a Keras layer the dtype is that of its weights, but at least float32; with
    a function, the context's, or that of each event.

    Raises:
        ValueError: for another `kept`, a network that is not callable or returns another size, a context of another dtype, or
            an event whose size is not D.

    Source: Dinh et al. 2014, "NICE: non-linear independent components estimation", section 3.

    >>> flow = AdditiveCoupling(keras.layers.Dense(1), kept=[True, False, True], context=tf.ones([5, 4]))
    >>> flow.forward(tf.ones([5, 3])).shape, flow.experimental_batch_shape(), len(flow.trainable_variables)
    (TensorShape([5, 3]), TensorShape([5]), 2)
    """

    def __init__(
        self,
        network: keras.layers.Layer | Callable,
        kept: Sequence[bool],
        context: TensorLike | None = None,
        validate_args: bool = False,
        name: str = "additive_coupling",
    ) -> None:
        parameters = dict(locals())
        with self._scope(name, validate_args) as name:
            if not callable(network):
                raise ValueError(f"network must be a Keras layer or a function, got {given(network)}.")
            self._kept = kept
            is_kept = _as_mask(kept)
            self._kept_entries, self._other_entries = np.flatnonzero(is_kept), np.flatnonzero(~is_kept)
            # Where each entry of the event stands in [kept, others].
            self._places = np.argsort(np.concatenate([self._kept_entries, self._other_entries]))
            dtype = None
            if context is not None:
                check_numbers("The context of AdditiveCoupling", context)
                if not np.shape(context)[-1:] or np.shape(context)[-1] == 0:
                    raise ValueError(f"AdditiveCoupling expects a context of shape [..., C], got {np.shape(context)}.")
            if isinstance(network, keras.layers.Layer):
                width = len(self._kept_entries) + (0 if context is None else np.shape(context)[-1])
                if not network.built:
                    network.build((None, width))
                takes = (getattr(network.input_spec, "axes", None) or {}).get(-1, width)
                if takes != width:
                    got = "none" if context is None else f"one of shape {np.shape(context)}"
                    raise ValueError(
                        f"The network of {name} takes {takes} numbers per row, of which {len(self._kept_entries)} are the kept "
                        f"entries and the others the context, got {got}."
                    )
                # The layer's own dtype says nothing of the layers inside it, so its weights are asked.
                is_double = any(weight.dtype == "float64" for weight in network.weights)
                dtype = tf.float64 if is_double else tf.float32
            self._network = network
            self._reads_unseen = not isinstance(network, keras.layers.Layer)
            if isinstance(network, keras.layers.Layer):
                self._trained = _compat.tf_variables(network.trainable_weights)
                self._has_frozen = len(self._trained) < len(network.weights)
            self._context = None if context is None else captured(context, dtype, "AdditiveCoupling")
            super().__init__(
                forward_min_event_ndims=1,
                dtype=dtype or (None if self._context is None else self._context.dtype),
                validate_args=validate_args,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(cls, dtype):
        return {"context": tfp.util.ParameterProperties(event_ndims=1)}

    @property
    def _type_spec(self):
        return FlowSpec.of(self, {name: self.parameters[name] for name in ("kept", "validate_args", "name")})

    @property
    def kept(self) -> Sequence[bool]:
        return self._kept

    def forward_and_log_det(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        z, log_derivatives = self._forward_by_entry(y)
        return z, log_derivatives[..., 0]

    def inverse_and_log_det(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        y, log_derivatives = self._shifted(z, -1.0)
        return y, log_derivatives[..., 0]

    def forward_and_log_derivatives(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._forward_by_entry(y)

    def _forward_by_entry(self, y):
        return self._shifted(y, 1.0)

    def forward_and_score(self, y: tf.Tensor, score: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # dz/dy = I + N with N N = 0, so that its inverse is 2 I - dz/dy.
        if self._context is not None:
            y += tf.zeros_like(tf.convert_to_tensor(self._context)[..., :1])
        with tf.GradientTape() as tape:
            tape.watch(y)
            z, log_det = self.forward_and_log_det(y)
        score = tf.broadcast_to(score, tf.shape(z))
        return z, log_det, 2.0 * score - tape.gradient(z, y, score)

    def _shifted(self, y, sign):
        y = vector_event(self, y, len(self._places))
        kept, others = tf.gather(y, self._kept_entries, axis=-1), tf.gather(y, self._other_entries, axis=-1)
        others += sign * self._shift(kept)
        # The context may have a larger batch shape.
        kept = kept + tf.zeros_like(others[..., :1])
        result = tf.gather(tf.concat([kept, others], axis=-1), self._places, axis=-1)
        return result, tf.zeros_like(result)

    def _shift(self, kept):
        inputs = kept
        if self._context is not None:
            context = tf.convert_to_tensor(self._context)
            zeros = tf.zeros_like(kept[..., :1]) + tf.zeros_like(context[..., :1])
            inputs = tf.concat([kept + zeros, context + zeros], axis=-1)
        # Keras models take one batch dimension.
        width = len(self._kept_entries) + (0 if self._context is None else self._context.shape[-1])
        shift = self._evaluate(tf.reshape(inputs, [-1, width]))
        if shift.shape[-1] != len(self._other_entries):
            raise ValueError(
                f"The network of {self.name} must return {len(self._other_entries)} numbers per row, one for each entry that "
                f"is not kept, got shape {tuple(shift.shape)}."
            )
        shape = tf.concat([tf.shape(inputs)[:-1], [len(self._other_entries)]], axis=0)
        shift = tf.reshape(tf.cast(shift, kept.dtype), shape)
        shift.set_shape(inputs.shape[:-1].concatenate([len(self._other_entries)]))
        return shift

    def _evaluate(self, rows):
        with _compat.with_values(self._network, self.values()):
            return self._network(rows)


def _as_mask(kept):
    try:
        mask = np.asarray(kept)
    except (TypeError, ValueError):  # Such as a ragged list.
        mask = np.asarray(None)
    if mask.ndim != 1 or mask.dtype != bool or not 0 < mask.sum() < mask.size:
        raise ValueError(f"kept must be D booleans, of which some are true and some are false, got {given(kept)}.")
    return mask
