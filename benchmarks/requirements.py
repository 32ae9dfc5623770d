"""What the paper asks of a posterior (final version, section 2.2), measured for each of ours.

    python -m benchmarks.requirements

Cheap to compute and to differentiate, and to sample from: the time of a sample with its log q, and of the gradient of both. In
parallel over the entries: how both grow from 32 to 256 entries, which is 8 for what goes entry by entry. Beside these, log q of
a given z, which the paper does not ask for. Every posterior is compiled by XLA and reads 256 features. Flows are chains of two;
NICE and IAF have networks of 512-512 units, the recurrent IAF cells of 128. All take turns; figures are medians over rounds.
"""

import json
import pathlib
import statistics

import tensorflow as tf
from absl import app, flags, logging

import tfp_iaf
from benchmarks.flow_worker import timed
from examples import json_files
from examples.provenance import provenance

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/requirements.json", "The result file.")
flags.DEFINE_integer("batch_size", 128, "Rows.", lower_bound=1)
flags.DEFINE_integer("rounds", 5, "Rounds.", lower_bound=1)
flags.DEFINE_float("seconds", 0.15, "Shortest measurement of a round.", lower_bound=0.0)

SIZES = (32, 256)
FEATURES = 256
NETWORKS = {"num_flows": 2, "hidden_units": (512, 512)}
POSTERIORS = {
    "diagonal": lambda size: tfp_iaf.DiagonalGaussian(size),
    "full_covariance": lambda size: tfp_iaf.FullCovariance(size),
    "planar": lambda size: tfp_iaf.PlanarFlow(size, num_flows=2),
    "radial": lambda size: tfp_iaf.RadialFlow(size, num_flows=2),
    "sylvester": lambda size: tfp_iaf.SylvesterFlow(size, num_flows=2),
    "nice": lambda size: tfp_iaf.NICE(size, **NETWORKS),
    "iaf": lambda size: tfp_iaf.IAF(size, **NETWORKS),
    "recurrent_iaf": lambda size: tfp_iaf.RecurrentIAF(size, num_flows=2, units=128),
}


def functions_of(posterior):
    """Name -> a function without arguments that returns when the work is done; each is compiled by a first call."""
    features = tf.Variable(tf.random.stateless_normal([FLAGS.batch_size, FEATURES], seed=[0, 0]))
    z, _ = posterior(features)
    weights = [variable.value for variable in posterior.trainable_variables]

    @tf.function(jit_compile=True)
    def sample():
        return posterior(features)

    @tf.function(jit_compile=True)
    def gradient():
        with tf.GradientTape() as tape:
            z, log_q = posterior(features)
            loss = tf.reduce_mean(log_q + 0.5 * tf.reduce_sum(tf.square(z), axis=-1))
        return tape.gradient(loss, [features, *weights], unconnected_gradients="zero")

    @tf.function(jit_compile=True)
    def density():
        return posterior(features, value=z)

    functions = {"sample": sample, "gradient": gradient, "density": density}
    for function in functions.values():
        function()
    return functions


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    logging.set_verbosity(logging.ERROR)  # TensorFlow takes each posterior's function for a retracing.
    made = {(name, size): functions_of(make(size)) for name, make in POSTERIORS.items() for size in SIZES}
    rounds = {key: {name: [] for name in functions} for key, functions in made.items()}
    for _ in range(FLAGS.rounds):
        for key, functions in made.items():
            for name, function in functions.items():
                rounds[key][name].append(timed(function, FLAGS.seconds))
    results = {}
    for (posterior, size), figures in rounds.items():
        results.setdefault(posterior, {})[size] = {name: statistics.median(values) for name, values in figures.items()}
    for posterior, by_size in results.items():
        print(posterior, json.dumps(by_size), flush=True)
    path = pathlib.Path(FLAGS.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"batch_size": FLAGS.batch_size, "features": FEATURES, "rounds": FLAGS.rounds}
    json_files.write(path, {"milliseconds": results, **settings, **provenance()})


if __name__ == "__main__":
    app.run(main)
