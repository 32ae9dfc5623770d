"""tfp_iaf, in each mode of execution, and with parts of it switched off."""

import functools
import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from benchmarks.contenders import Flow, tf_timing
from tfp_iaf import AutoregressiveNetwork, InverseAutoregressiveFlow
from tfp_iaf.noise import standard_normal

PACKAGES = ("tfp_iaf", "tensorflow", "tensorflow-probability", "keras")

tfb = tfp.bijectors
tfd = tfp.distributions

# As in a posterior, the order alternates along the chain.
INPUT_ORDERS = ("left-to-right", "right-to-left")


def make(case, mode="XLA", evaluations=1, inverse="auto") -> Flow:
    context = tf.Variable(tf.random.stateless_normal([case.batch_size, case.context_size], seed=[1, 0]))
    networks = [
        AutoregressiveNetwork(
            params=2,
            event_shape=case.event_size,
            hidden_units=case.hidden_units,
            context_size=case.context_size,
            input_order=INPUT_ORDERS[k % 2],
            activation="relu",
        )
        for k in range(case.num_flows)
    ]
    for seed, network in enumerate(networks):
        network.build()
        leave_identity(network, seed)

    return chain(case, mode, networks, context, evaluations, inverse)


def chain(case, mode, networks, context, evaluations=1, inverse="auto") -> Flow:
    """The `Flow` of flows on these networks, on a diagonal Gaussian."""
    event_ndims = len(networks[0].event_shape)
    shape = [case.batch_size, *networks[0].event_shape]

    def flows():
        """The flows in the order they act, on the context as it is now."""
        captured = tf.convert_to_tensor(context)
        return [InverseAutoregressiveFlow(network, context=captured, inverse=inverse) for network in networks]

    base = tfd.Independent(tfd.Normal(tf.zeros(shape), 1.0), event_ndims)

    # Nothing that a compiler can fold.
    one = tf.Variable(1.0)

    def sample():
        # As a posterior does inside a model.
        seed = tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
        z = standard_normal(shape, seed, tf.float32)
        log_q = -0.5 * tf.reduce_sum(tf.square(z) + math.log(2.0 * math.pi), axis=range(-event_ndims, 0))
        for flow in flows():
            y = z
            z, log_det = flow.forward_and_log_det(y)
            if evaluations == 2:
                _, log_det = flow.forward_and_log_det(one * y)
            log_q -= log_det
        return z, log_q

    def log_prob(z):
        return tfd.TransformedDistribution(base, tfb.Chain(flows()[::-1])).log_prob(z)

    weights = [variable for network in networks for variable in network.tf_variables if variable.trainable]
    return tf_timing.flow(case, mode, sample, log_prob, weights, context)


def leave_identity(network, seed):
    """Gives the last layer weights as of a trained flow: iterative inverses are cheap near the identity."""
    rng = np.random.default_rng(seed)
    for weight in network.output_layer.trainable_weights:
        weight.assign(rng.normal(size=weight.shape) * 0.5 / np.sqrt(network.hidden_units[-1]))


CONTENDERS = {f"tfp_iaf {mode}": functools.partial(make, mode=mode) for mode in tf_timing.MODES}
ABLATIONS = {
    "two evaluations": functools.partial(make, evaluations=2),
    "fixed-point inverse": functools.partial(make, inverse="fixed_point"),
    "sequential inverse": functools.partial(make, inverse="sequential"),
}
CONTENDERS |= {f"tfp_iaf XLA, {name}": function for name, function in ABLATIONS.items()}
