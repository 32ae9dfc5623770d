"""A VAE written by hand with TFP's flows and tf_keras layers, in a loop of its own."""

import functools

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from benchmarks.contenders import Flow, tf_timing
from benchmarks.contenders.tfp_maf import make_network
from benchmarks.vae_cases import NUM_EPOCHS

PACKAGES = ("tensorflow", "tensorflow-probability", "tf-keras")
MODES = {"XLA": True, "graph": None}

tfb, tfd = tfp.bijectors, tfp.distributions


def dense_layers(case):
    return [tf_keras.layers.Dense(size, "relu") for size in case.hidden_units]


def make(case, mode) -> Flow:
    tf_timing.use_full_precision()
    tf.random.set_seed(0)
    encoder, statistics = tf_keras.Sequential(dense_layers(case)), tf_keras.layers.Dense(2 * case.latent_size)
    decoder = tf_keras.Sequential([*dense_layers(case), tf_keras.layers.Dense(case.data_size)])
    parts = [encoder, statistics, decoder]
    networks = [
        make_network(
            case.latent_size, case.context_size, case.flow_hidden_units, input_order=("left-to-right", "right-to-left")[k % 2]
        )
        for k in range(case.num_flows)
    ]
    if networks:
        context_layer = tf_keras.layers.Dense(case.context_size)
        parts.append(context_layer)
    flows = [tfb.Invert(tfb.MaskedAutoregressiveFlow(net, name=f"maf_{k}"), name=f"maf_{k}") for k, net in enumerate(networks)]
    prior = tfd.MultivariateNormalDiag(tf.zeros([case.latent_size]))

    def posterior(x):
        """(q(z|x), the arguments of its calls)."""
        features = encoder(x)
        loc, scale = tf.split(statistics(features), 2, axis=-1)
        base = tfd.MultivariateNormalDiag(loc, tf.nn.softplus(scale))
        if not networks:
            return base, {}
        context = context_layer(features)
        kwargs = {flow.name: {"conditional_input": context} for flow in flows}
        return tfd.TransformedDistribution(base, tfb.Chain(flows[::-1])), {"bijector_kwargs": kwargs}

    def loss(x):
        q, kwargs = posterior(x)
        z, log_q = q.experimental_sample_and_log_prob(**kwargs)
        likelihood = tfd.Independent(tfd.Bernoulli(logits=decoder(z)), 1)
        return -tf.reduce_mean(likelihood.log_prob(x) + prior.log_prob(z) - log_q)

    x = np.random.default_rng(0).integers(0, 2, size=[case.num_rows, case.data_size]).astype(np.float32)
    batch = tf.constant(x[: case.batch_size])
    loss(batch)  # Makes the layers' weights.
    weights = [weight for part in (*parts, *networks) for weight in part.trainable_variables]
    optimizer = tf_keras.optimizers.Adamax(2e-3)
    optimizer.build(weights)

    @tf.function(jit_compile=MODES[mode])
    def train_step(x):
        with tf.GradientTape() as tape:
            value = loss(x)
        optimizer.apply_gradients(zip(tape.gradient(value, weights), weights))
        return value

    rows = tf.data.Dataset.from_tensor_slices(x).shuffle(case.num_rows).batch(case.batch_size).prefetch(2)

    def epochs():
        for _ in range(NUM_EPOCHS):
            for batch in rows:
                value = train_step(batch)
        return value.numpy()

    def round_trip():
        q, kwargs = posterior(batch)
        z, log_q = q.experimental_sample_and_log_prob(**kwargs)
        return log_q.numpy(), q.log_prob(tf.constant(z.numpy()), **kwargs).numpy()

    quantities = {"training step": lambda: train_step(batch).numpy(), "epochs": epochs}
    return Flow(quantities, round_trip, sum(int(tf.size(weight)) for weight in weights))


CONTENDERS = {f"TFP by hand, {mode}": functools.partial(make, mode=mode) for mode in MODES}
