"""TFP's own route to an inverse autoregressive flow: `Invert(MaskedAutoregressiveFlow(AutoregressiveNetwork))`."""

import functools

import tensorflow as tf
import tensorflow_probability as tfp

from benchmarks.contenders import Flow, tf_timing

PACKAGES = ("tensorflow", "tensorflow-probability", "tf-keras")

tfb = tfp.bijectors
tfd = tfp.distributions


def make_network(event_size, context_size, hidden_units, **kwargs):
    """A network of TFP's for affine flows, with its weights made."""
    network = tfb.AutoregressiveNetwork(
        params=2,
        event_shape=[event_size],
        hidden_units=list(hidden_units),
        activation="relu",
        conditional=True,
        conditional_event_shape=[context_size],
        **kwargs,
    )
    network(tf.zeros([1, event_size]), conditional_input=tf.zeros([1, context_size]))
    return network


def make(case, mode) -> Flow:
    tf.random.set_seed(0)
    context = tf.Variable(tf.random.stateless_normal([case.batch_size, case.context_size], seed=[1, 0]))
    networks, flows, names = [], [], []
    for k in range(case.num_flows):
        network = make_network(case.event_size, case.context_size, case.hidden_units)
        # As the layer initializes it, its unbounded log-scale makes the inverse of four flows overflow.
        for variable in network.trainable_variables:
            if variable.shape == (case.hidden_units[-1], 2 * case.event_size):
                variable.assign(0.1 * variable)
        networks.append(network)
        names.append(f"maf_{k}")
        if flows:
            flows.append(tfb.Permute(list(range(case.event_size))[::-1]))
        flows.append(tfb.Invert(tfb.MaskedAutoregressiveFlow(network, name=names[-1]), name=names[-1]))
    base = tfd.MultivariateNormalDiag(tf.zeros([case.batch_size, case.event_size]))
    distribution = tfd.TransformedDistribution(base, tfb.Chain(flows[::-1]))

    def bijector_kwargs():
        return {name: {"conditional_input": context} for name in names}

    def sample():
        return distribution.experimental_sample_and_log_prob(bijector_kwargs=bijector_kwargs())

    def log_prob(z):
        return distribution.log_prob(z, bijector_kwargs=bijector_kwargs())

    weights = [variable for network in networks for variable in network.trainable_variables]
    return tf_timing.flow(case, mode, sample, log_prob, weights, context)


CONTENDERS = {f"TFP {mode}": functools.partial(make, mode=mode) for mode in tf_timing.MODES}
