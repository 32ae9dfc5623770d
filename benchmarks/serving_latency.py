"""What a request of one row costs: the export of an encoder with our flows, beside that of the same with TFP's own.

    python -m benchmarks.serving_latency --out=benchmarks/results/serving_latency.json

Both are SavedModels with one function from (x, seed) to z and log q(z|x): a dense layer, a diagonal base that it parameterizes,
and flows that read its output as context. TFP's is `Invert(MaskedAutoregressiveFlow(AutoregressiveNetwork))`. Every round asks
both in turn; figures are medians over the rounds.
"""

import pathlib
import statistics
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from absl import app, flags

import tfp_iaf
from examples import json_files
from examples.provenance import provenance

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/serving_latency.json", "Result file.")
flags.DEFINE_integer("rounds", 20, "Rounds.", lower_bound=1)
flags.DEFINE_integer("requests", 100, "Requests of each in a round.", lower_bound=1)

tfb, tfd = tfp.bijectors, tfp.distributions
DATA_SIZE, FEATURES, LATENT_SIZE, HIDDEN_UNITS, NUM_FLOWS = 784, 512, 32, (320, 320), 2


def ours():
    encoder = keras.layers.Dense(FEATURES, "elu")
    # A network that reads all features, as TFP's does.
    posterior = tfp_iaf.IAF(LATENT_SIZE, NUM_FLOWS, hidden_units=HIDDEN_UNITS, context_size=FEATURES)
    model = tfp_iaf.VAE(encoder, posterior, keras.layers.Dense(DATA_SIZE))
    model.build((None, DATA_SIZE))
    return served(lambda folder: tfp_iaf.serving.export(model, folder, overwrite=True))


def tfps():
    encoder, statistics_layer = keras.layers.Dense(FEATURES, "elu"), keras.layers.Dense(2 * LATENT_SIZE)
    networks = [
        tfb.AutoregressiveNetwork(
            params=2,
            event_shape=[LATENT_SIZE],
            hidden_units=list(HIDDEN_UNITS),
            activation="elu",
            conditional=True,
            conditional_event_shape=[FEATURES],
            input_order=("left-to-right", "right-to-left")[k % 2],
        )
        for k in range(NUM_FLOWS)
    ]
    flows = [
        tfb.Invert(tfb.MaskedAutoregressiveFlow(network, name=f"flow_{k}"), name=f"inverse_{k}")
        for k, network in enumerate(networks)
    ]

    @tf.function(
        input_signature=[tf.TensorSpec([None, DATA_SIZE], tf.float32, "x"), tf.TensorSpec([2], tf.int32, "seed")],
        autograph=False,
    )
    def encode(x, seed):
        features = encoder(x)
        loc, scale = tf.split(statistics_layer(features), 2, axis=-1)
        q = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(loc, tf.nn.softplus(scale)), tfb.Chain(flows))
        context = {flow.name: {"conditional_input": features} for flow in flows}
        z, log_q = q.experimental_sample_and_log_prob(seed=seed, bijector_kwargs=context)
        return {"z": z, "log_q": log_q}

    module = tf.Module()
    encode(np.zeros([1, DATA_SIZE], np.float32), np.array([0, 1], np.int32))  # Makes the layers' weights.
    module.encode = encode
    module.weights = [
        variable if isinstance(variable, tf.Variable) else variable.value
        for part in (encoder, statistics_layer, *networks)
        for variable in part.variables
    ]
    return served(lambda folder: tf.saved_model.save(module, folder, signatures={"encode": encode}))


def served(save):
    """What `save(folder)` writes, loaded again."""
    with tempfile.TemporaryDirectory() as folder:
        save(folder)
        return tf.saved_model.load(folder)


def milliseconds(encode, x, seed):
    start = time.perf_counter()
    for _ in range(FLAGS.requests):
        encode(x=x, seed=seed)["z"].numpy()
    return 1e3 * (time.perf_counter() - start) / FLAGS.requests


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    origin, seed = provenance(), tf.constant([0, 1])
    models = {"tfp_iaf": ours(), "tensorflow_probability": tfps()}
    results = {}
    for batch in (1, 32):
        x = tf.zeros([batch, DATA_SIZE])
        encoders = {name: each.signatures["encode"] for name, each in models.items()}
        for encode in encoders.values():
            milliseconds(encode, x, seed)
        rounds = [{name: milliseconds(encode, x, seed) for name, encode in encoders.items()} for _ in range(FLAGS.rounds)]
        results[batch] = {
            **{name: statistics.median(each[name] for each in rounds) for name in encoders},
            "ratio": statistics.median(each["tfp_iaf"] / each["tensorflow_probability"] for each in rounds),
        }
        print(batch, results[batch], flush=True)
    settings = {"rounds": FLAGS.rounds, "requests": FLAGS.requests, "latent_size": LATENT_SIZE, "num_flows": NUM_FLOWS}
    out = pathlib.Path(FLAGS.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    json_files.write(out, {"milliseconds": results, "settings": settings, **origin})


if __name__ == "__main__":
    app.run(main)
