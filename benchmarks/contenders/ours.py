"""tfp_iaf, in each mode of execution, and with parts of it switched off."""

import functools
import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from benchmarks.contenders import Flow, tf_timing
from tfp_iaf import AutoregressiveNetwork, InverseAutoregressiveFlow, ReverseOrder
from tfp_iaf.posteriors._noise import standard_normal

PACKAGES = ("tfp_iaf", "tensorflow", "tensorflow-probability", "keras")

tfb = tfp.bijectors
tfd = tfp.distributions


def make(case, mode="XLA", evaluations=1, inverse="auto", num_blocks=None) -> Flow:
    context = tf.Variable(tf.random.stateless_normal([case.batch_size, case.context_size], seed=[1, 0]))
    networks = [
        AutoregressiveNetwork(
            2, case.event_size, case.hidden_units, case.context_size, activation="relu", num_blocks=num_blocks
        )
        for _ in range(case.num_steps)
    ]
    for seed, network in enumerate(networks):
        network.build()
        leave_identity(network, seed)

    def steps():
        chain = []
        for network in networks:
            if chain:
                chain.append(ReverseOrder())
            chain.append(InverseAutoregressiveFlow(network, context=tf.convert_to_tensor(context), inverse=inverse))
        return chain

    base = tfd.MultivariateNormalDiag(tf.zeros([case.batch_size, case.event_size]))

    # Nothing that a compiler can fold.
    one = tf.Variable(1.0)

    def sample():
        # As a posterior does inside a model.
        shape = [case.batch_size, case.event_size]
        seed = tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
        z = standard_normal(shape, seed, tf.float32)
        log_q = -0.5 * tf.reduce_sum(tf.square(z) + math.log(2.0 * math.pi), axis=-1)
        for step in steps():
            y = z
            z, log_det = step.forward_and_log_det(y)
            if evaluations == 2:
                _, log_det = step.forward_and_log_det(one * y)
            log_q -= log_det
        return z, log_q

    def log_prob(z):
        return tfd.TransformedDistribution(base, tfb.Chain(steps()[::-1])).log_prob(z)

    weights = [variable._value for network in networks for variable in network.trainable_variables]
    return tf_timing.flow(case, mode, sample, log_prob, weights, context)


def leave_identity(network, seed):
    """Gives the last layer weights as of a trained flow: iterative inverses are cheap near the identity."""
    rng = np.random.default_rng(seed)
    for weight in network.output_layer.trainable_weights:
        weight.assign(rng.normal(size=weight.shape) * 0.5 / np.sqrt(network.hidden_units[-1]))


CONTENDERS = {f"tfp_iaf {mode}": functools.partial(make, mode=mode) for mode in tf_timing.MODES}
ABLATIONS = {
    "one block a kernel": functools.partial(make, num_blocks=1),
    "two evaluations": functools.partial(make, evaluations=2),
    "fixed-point inverse": functools.partial(make, inverse="fixed_point"),
    "sequential inverse": functools.partial(make, inverse="sequential"),
}
CONTENDERS |= {f"tfp_iaf XLA, {name}": function for name, function in ABLATIONS.items()}
CONTENDERS["tfp_iaf graph, one block a kernel"] = functools.partial(make, mode="graph", num_blocks=1)
