"""tfp_iaf's convolutional flows, in each mode of execution."""

import functools
import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from benchmarks.contenders import Flow, tf_timing
from tfp_iaf import ConvAutoregressiveNetwork, ConvInverseAutoregressiveFlow
from tfp_iaf.noise import standard_normal

PACKAGES = ("tfp_iaf", "tensorflow", "tensorflow-probability", "keras")

tfb, tfd = tfp.bijectors, tfp.distributions

INPUT_ORDERS = ("left-to-right", "right-to-left")


def make(case, mode) -> Flow:
    shape = [case.batch_size, *case.event_shape]
    context = tf.Variable(tf.random.stateless_normal([*shape[:-1], case.context_channels], seed=[1, 0]))
    networks = [
        ConvAutoregressiveNetwork(
            params=2,
            event_shape=case.event_shape,
            filters=case.filters,
            context_channels=case.context_channels,
            input_order=INPUT_ORDERS[k % 2],
            activation="elu",
            weight_norm=case.weight_norm,
        )
        for k in range(case.num_flows)
    ]
    for seed, network in enumerate(networks):
        network.build()
        leave_identity(network, seed)

    def flows():
        captured = tf.convert_to_tensor(context)
        return [ConvInverseAutoregressiveFlow(network, context=captured) for network in networks]

    base = tfd.Independent(tfd.Normal(tf.zeros(shape), 1.0), 3)

    def sample():
        seed = tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
        z = standard_normal(shape, seed, tf.float32)
        log_q = -0.5 * tf.reduce_sum(tf.square(z) + math.log(2.0 * math.pi), axis=[-3, -2, -1])
        for flow in flows():
            z, log_det = flow.forward_and_log_det(z)
            log_q -= log_det
        return z, log_q

    def log_prob(z):
        return tfd.TransformedDistribution(base, tfb.Chain(flows()[::-1])).log_prob(z)

    weights = [variable for network in networks for variable in network.tf_variables if variable.trainable]
    return tf_timing.flow(case, mode, sample, log_prob, weights, context)


def leave_identity(network, seed):
    """Gives the last layer weights as of a trained flow; those of a weight-normalized one have a gain in place of a size."""
    rng = np.random.default_rng(seed)
    for weight in network.output_layer.trainable_weights:
        if weight.ndim == 4:
            weight.assign(rng.normal(size=weight.shape) * 0.3 / np.sqrt(9 * network.filters[-1]))
        elif weight.path.endswith("gain"):
            weight.assign(np.full(weight.shape, 0.3))


CONTENDERS = {f"tfp_iaf {mode}": functools.partial(make, mode=mode) for mode in ("XLA", "graph")}
