"""tfp_iaf's convolutional flows, in each mode of execution."""

import functools

import numpy as np
import tensorflow as tf

from benchmarks.contenders import Flow, ours
from tfp_iaf import ConvAutoregressiveNetwork

PACKAGES = ours.PACKAGES


def make(case, mode) -> Flow:
    shape = [case.batch_size, *case.event_shape[:-1], case.context_channels]
    context = tf.Variable(tf.random.stateless_normal(shape, seed=[1, 0]))
    networks = [
        ConvAutoregressiveNetwork(
            params=2,
            event_shape=case.event_shape,
            filters=case.filters,
            context_channels=case.context_channels,
            input_order=ours.INPUT_ORDERS[k % 2],
            activation="elu",
            weight_norm=case.weight_norm,
        )
        for k in range(case.num_flows)
    ]
    for seed, network in enumerate(networks):
        network.build()
        leave_identity(network, seed)

    return ours.chain(case, mode, networks, context)


def leave_identity(network, seed):
    """Gives the last layer weights as of a trained flow; those of a weight-normalized one have a gain in place of a size."""
    rng = np.random.default_rng(seed)
    for weight in network.output_layer.trainable_weights:
        if weight.ndim == 4:
            weight.assign(rng.normal(size=weight.shape) * 0.3 / np.sqrt(9 * network.filters[-1]))
        elif weight.path.endswith("gain"):
            weight.assign(np.full(weight.shape, 0.3))


CONTENDERS = {f"tfp_iaf {mode}": functools.partial(make, mode=mode) for mode in ("XLA", "graph")}
