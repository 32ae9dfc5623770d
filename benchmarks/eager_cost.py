"""Eager calls beside the same calls in graph mode: an IAF as a posterior layer, and through TFP's own classes.

    python -m benchmarks.eager_cost --out=benchmarks/results/eager_cost.json

The flows are those of the case D64 (`benchmarks.flow_cases`). Through TFP, a `tfb.Chain` of flows transforms a
`tfd.TransformedDistribution`; what TFP's classes take by themselves is measured with a chain of as many `tfb.Shift`s. Both are
made anew with every call, as a posterior makes them. A training step is the gradient with respect to all weights and to the
features or the context, as in a VAE. Every round times all in turn; figures are medians over the rounds.
"""

import pathlib
import statistics
import time

import tensorflow as tf
import tensorflow_probability as tfp
from absl import app, flags

import tfp_iaf
from benchmarks.flow_cases import CASES
from examples import json_files
from examples.provenance import provenance
from tfp_iaf import InverseAutoregressiveFlow

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/eager_cost.json", "Result file.")
flags.DEFINE_integer("rounds", 15, "Rounds.", lower_bound=1)
flags.DEFINE_integer("calls", 5, "Calls of each in a round.", lower_bound=1)

tfb, tfd = tfp.bijectors, tfp.distributions
CASE = CASES["D64"]
QUANTITIES = "forward", "training step", "inverse"


def loss(z, log_q):
    return tf.reduce_mean(log_q + 0.5 * tf.reduce_sum(tf.square(z), axis=-1))


def quantities(sample, log_prob, variables, z):
    """Functions of no arguments by quantity: a draw with its log q, its gradient, and log q of a given z."""

    def step():
        with tf.GradientTape() as tape:
            value = loss(*sample())
        return tape.gradient(value, variables)

    return dict(zip(QUANTITIES, (sample, step, lambda: log_prob(tf.identity(z)))))


def contenders():
    """Functions of no arguments by (contender, quantity), each for eager mode."""
    posterior = tfp_iaf.IAF(CASE.event_size, CASE.num_flows, hidden_units=CASE.hidden_units, context_size=CASE.context_size)
    features = tf.Variable(tf.random.stateless_normal([CASE.batch_size, 3 * CASE.context_size], seed=[0, 1]))
    z, _ = posterior(features)
    loc, scale, context = posterior.read(features)
    context = tf.Variable(context)
    base = tfd.MultivariateNormalDiag(loc, tf.nn.softplus(scale))
    shift = tf.Variable(tf.zeros([CASE.event_size]))

    def through_tfp(make_bijector):
        return tfd.TransformedDistribution(base, tfb.Chain([make_bijector(network) for network in posterior.networks]))

    def functions(make_bijector, variables):
        return quantities(
            lambda: through_tfp(make_bijector).experimental_sample_and_log_prob(),
            lambda z: through_tfp(make_bijector).log_prob(z),
            variables,
            z,
        )

    return {
        "posterior": quantities(
            lambda: posterior(tf.convert_to_tensor(features)),
            lambda z: posterior(tf.convert_to_tensor(features), value=z),
            [*posterior.tf_variables, features],
            z,
        ),
        "TFP": functions(
            lambda network: InverseAutoregressiveFlow(network, context=tf.convert_to_tensor(context)),
            [context, *(variable for network in posterior.networks for variable in network.tf_variables)],
        ),
        "shifts": functions(lambda network: tfb.Shift(shift), [shift]),
    }


def milliseconds(function):
    start = time.perf_counter()
    for _ in range(FLAGS.calls):
        function()
    tf.test.experimental.sync_devices()
    return 1e3 * (time.perf_counter() - start) / FLAGS.calls


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    origin, timed = provenance(), {}
    for name, functions in contenders().items():
        for quantity, function in functions.items():
            timed[name, quantity, "eager"] = function
            if name != "shifts":
                timed[name, quantity, "graph"] = tf.function(function, autograph=False)
    for function in timed.values():
        for _ in range(3):
            function()
    rounds = [{key: milliseconds(function) for key, function in timed.items()} for _ in range(FLAGS.rounds)]
    results = {}
    for name in ("posterior", "TFP"):
        for quantity in QUANTITIES:
            results.setdefault(name, {})[quantity] = {
                "eager_ms": statistics.median(each[name, quantity, "eager"] for each in rounds),
                "graph_ms": statistics.median(each[name, quantity, "graph"] for each in rounds),
                "ratio": statistics.median(each[name, quantity, "eager"] / each[name, quantity, "graph"] for each in rounds),
            }
            print(name, quantity, results[name][quantity], flush=True)
    results["shifts"] = {
        quantity: {"eager_ms": statistics.median(each["shifts", quantity, "eager"] for each in rounds)}
        for quantity in QUANTITIES
    }
    print("shifts", results["shifts"])
    settings = {"case": "D64", "rounds": FLAGS.rounds, "calls": FLAGS.calls}
    out = pathlib.Path(FLAGS.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    json_files.write(out, {"results": results, "settings": settings, **origin})


if __name__ == "__main__":
    app.run(main)
