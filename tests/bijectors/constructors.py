"""Every bijector of the package by name, with weights away from their start, in float64: a function of the batch shape."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties
from tfp_iaf.bijectors import InverseAutoregressiveFlow, LinearCholeskyIAF, ReverseOrder
from tfp_iaf.networks import AutoregressiveNetwork, RecurrentAutoregressiveNetwork

EVENT_SIZE = 5
CONTEXT_SIZE = 3


def _flow(
    bijector_fn="affine", params=2, order="left-to-right", with_context=True, hidden_units=(20, 20), dtype="float64", **kw
):
    def make(batch_shape=(), seed=0):
        network = AutoregressiveNetwork(
            params,
            EVENT_SIZE,
            hidden_units,
            context_size=CONTEXT_SIZE if with_context else None,
            input_order=order,
            seed=1,
            dtype=dtype,
        )
        network.build()
        properties.randomize(network, seed=seed)
        context = None
        if with_context:
            context = tf.constant(np.random.default_rng(seed).normal(size=[*batch_shape, CONTEXT_SIZE]), dtype)
        return InverseAutoregressiveFlow(network, context=context, bijector_fn=bijector_fn, **kw)

    return make


def _recurrent_flow(batch_shape=(), seed=0):
    network = RecurrentAutoregressiveNetwork(2, EVENT_SIZE, 6, "gru", CONTEXT_SIZE, "random", seed=1, dtype="float64")
    network.build()
    properties.randomize(network, seed=seed)
    context = tf.constant(np.random.default_rng(seed).normal(size=[*batch_shape, CONTEXT_SIZE]))
    return InverseAutoregressiveFlow(network, context=context, inverse="incremental")


def _linear_cholesky(batch_shape=(), seed=0):
    size = EVENT_SIZE * (EVENT_SIZE - 1) // 2
    return LinearCholeskyIAF(tf.constant(np.random.default_rng(seed).normal(size=[*batch_shape, size])))


def _sinh_arcsinh(parameters):
    return tfp.bijectors.SinhArcsinh(skewness=parameters[..., 0], tailweight=tf.exp(0.3 * tf.tanh(parameters[..., 1])))


FLOWS = {
    "affine": _flow(),
    "affine, random order": _flow(order="random"),
    "affine, no context": _flow(with_context=False),
    "affine, no hidden layer": _flow(hidden_units=()),
    "affine, incremental inverse": _flow(inverse="incremental"),
    "affine, sequential inverse": _flow(inverse="sequential"),
    "gated": _flow("gated"),
    "location": _flow("location", params=1),
    "spline": _flow("spline", params=8),
    "callable": _flow(_sinh_arcsinh),
    "recurrent": _recurrent_flow,
}

BIJECTORS = {**FLOWS, "linear Cholesky": _linear_cholesky, "reverse": lambda batch_shape=(), seed=0: ReverseOrder()}
