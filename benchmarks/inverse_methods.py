"""The inverses in blocks and by fixed-point iteration beside one another: which is faster, and how much does coupling cost?

    python -m benchmarks.inverse_methods --out=benchmarks/results/inverse_methods.json

Two affine flows, without a context. An inverse that searches takes longer where entries depend on each other strongly, so each
case has three sets of weights: the initial ones, near the identity; those fitted to a curved density (`in_family` of
`benchmarks.dimension_targets`); and random ones with far larger last layers, which couple on purpose. The z are drawn from the
flows. Every round times forward passes and both inverses in turn, in both modes; figures are medians over the rounds.
"""

import json
import pathlib
import statistics
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags, logging

import tfp_iaf
from benchmarks.dimension_targets import Tree
from examples import json_files
from examples.provenance import provenance
from tfp_iaf import InverseAutoregressiveFlow, vi

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/inverse_methods.json", "Result file.")
flags.DEFINE_integer("rounds", 7, "Rounds.", lower_bound=1)
flags.DEFINE_float("seconds", 0.1, "Shortest measurement of a round.", lower_bound=0.0)
flags.DEFINE_integer("steps", 500, "Steps of the fits.", lower_bound=1)

METHODS = "blocks", "fixed_point"
MODES = {"XLA": True, "graph": False}
# D, widths of the hidden layers, batch sizes.
NETWORKS = (
    (8, (64, 64), (1, 256)),
    (64, (512, 512), (1, 32, 256)),
    (64, (512, 512, 512, 512), (1, 256)),
    (256, (1024, 1024), (1, 256)),
)
# Standard deviation of the last layer's kernel, times the square root of its inputs.
STRONG = 2.0


def layer(size, hidden_units):
    keras.utils.set_random_seed(0)
    posterior = tfp_iaf.IAF(size, num_flows=2, hidden_units=hidden_units, context_size=0)
    return posterior, vi.without_features(posterior)


def fit(posterior, q, size):
    vi.fit(Tree(size, "in_family").log_prob, q, num_steps=FLAGS.steps, learning_rates=[3e-3], sample_size=64, seed=0)
    return weights_of(posterior)


def weights_of(posterior):
    return [weight.numpy() for network in posterior.networks for weight in network.trainable_variables]


def assign(posterior, values):
    for weight, value in zip((w for network in posterior.networks for w in network.trainable_variables), values, strict=True):
        weight.assign(value)


def couple(posterior):
    """Gives the last layers large random weights."""
    rng = np.random.default_rng(0)
    for network in posterior.networks:
        kernel = network.output_layer.trainable_weights[0]
        kernel.assign(rng.normal(size=kernel.shape) * STRONG / np.sqrt(kernel.shape[0]))


def functions(posterior, compiled):
    """(forward: y -> (z, log q), inverses by name: z -> log q)."""

    def chain(inverse):
        return [InverseAutoregressiveFlow(network, inverse=inverse) for network in posterior.networks]

    def log_normal(y):
        return -0.5 * tf.reduce_sum(y**2 + np.log(2.0 * np.pi).astype(np.float32), axis=-1)

    def forward(y):
        z, log_q = y, log_normal(y)
        for flow in chain("auto"):
            z, log_det = flow.forward_and_log_det(z)
            log_q -= log_det
        return z, log_q

    def inverse(method):
        def log_prob(z):
            log_q = 0.0
            for flow in reversed(chain(method)):
                z, log_det = flow.inverse_and_log_det(z)
                log_q -= log_det
            return log_q + log_normal(z)

        return log_prob

    compile_ = tf.function(jit_compile=compiled, autograph=False)
    return compile_(forward), {method: compile_(inverse(method)) for method in METHODS}


def milliseconds(function, argument):
    calls, start = 0, time.perf_counter()
    while True:
        tf.nest.map_structure(lambda tensor: tensor.numpy(), function(argument))
        calls += 1
        elapsed = time.perf_counter() - start
        if elapsed >= FLAGS.seconds:
            return 1e3 * elapsed / calls


def measure(size, hidden_units, batch_sizes):
    """One dict of figures per batch size, set of weights and mode."""
    posterior, q = layer(size, hidden_units)
    weights = {"initial": weights_of(posterior)}
    weights["fitted"] = fit(posterior, q, size)
    couple(posterior)
    weights["strong"] = weights_of(posterior)
    compiled = {mode: functions(posterior, jit_compile) for mode, jit_compile in MODES.items()}
    rows = []
    for batch_size in batch_sizes:
        y = tf.random.stateless_normal([batch_size, size], seed=[0, 1])
        for name, values in weights.items():
            assign(posterior, values)
            z, log_q = compiled["graph"][0](y)
            found = {mode: {"forward": [], **{method: [] for method in METHODS}} for mode in MODES}
            errors = {}
            for mode, (forward, inverses) in compiled.items():
                forward(y)
                for method, log_prob in inverses.items():
                    errors[mode, method] = float(tf.reduce_max(tf.abs(log_prob(z) - log_q)))
            for _ in range(FLAGS.rounds):
                for mode, (forward, inverses) in compiled.items():
                    found[mode]["forward"].append(milliseconds(forward, y))
                    for method, log_prob in inverses.items():
                        found[mode][method].append(milliseconds(log_prob, z))
            for mode, samples in found.items():
                rows.append(
                    {
                        "event_size": size,
                        "hidden_units": hidden_units,
                        "batch_size": batch_size,
                        "weights": name,
                        "mode": mode,
                        "milliseconds": {what: statistics.median(values) for what, values in samples.items()},
                        "ratio_to_forward": {
                            method: statistics.median(a / b for a, b in zip(samples[method], samples["forward"]))
                            for method in METHODS
                        },
                        "error_of_log_q": {method: errors[mode, method] for method in METHODS},
                    }
                )
                print(json.dumps(rows[-1]), flush=True)
    return rows


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    logging.set_verbosity(logging.ERROR)  # TensorFlow takes several fits for retracing.
    out = pathlib.Path(FLAGS.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    origin = provenance()
    rows = [row for network in NETWORKS for row in measure(*network)]
    json_files.write(out, {"rounds": FLAGS.rounds, "steps": FLAGS.steps, "rows": rows, **origin})


if __name__ == "__main__":
    app.run(main)
