"""How often training ends in NaN: flows with and without a context, with bounded and unbounded log-scales, for several K.

    python -m benchmarks.stability

VAEs on scikit-learn's digits, embedded, at the usual rate of 0.002, and at 10 and 50 times that. The first version of the paper
gives its networks a context of the encoder; does that keep training finite? Counted are the runs whose loss or weights are not.
"""

import itertools
import json
import pathlib

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import tfp_iaf
from examples import json_files
from examples.provenance import provenance
from tfp_iaf.bijectors import maps

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/stability.json", "The result file.")
flags.DEFINE_integer("seeds", 5, "Runs of each kind.", lower_bound=1)
flags.DEFINE_integer("steps", 300, "Steps of a run.", lower_bound=1)
flags.DEFINE_list("rates", ["0.002", "0.02", "0.1"], "Learning rates of Adam.")
flags.DEFINE_list("num_flows", ["2", "4", "8"], "K.")
LATENT_SIZE = 8


class UnboundedAffine(maps.ElementwiseMap):
    """z = exp(v) y + u with no bound on v."""

    params = 2

    def forward(self, y, parameters):
        u, v = tf.unstack(parameters, axis=-1)
        return tf.exp(v) * y + u, v

    def inverse(self, z, parameters):
        u, v = tf.unstack(parameters, axis=-1)
        return (z - u) * tf.exp(-v), v


MAPS = {"bounded": lambda: maps.Affine(), "unbounded": UnboundedAffine}


def ends_finite(x, *, num_flows, context, scale, rate, seed, steps):
    """Whether a run ends with finite loss and weights."""
    keras.utils.set_random_seed(seed)
    dense = keras.layers.Dense
    posterior = tfp_iaf.IAF(
        LATENT_SIZE,
        num_flows=num_flows,
        hidden_units=(64, 64),
        context_size=None if context else 0,
        bijector_fn=MAPS[scale](),
        seed=seed,
    )
    model = tfp_iaf.VAE(
        keras.Sequential([keras.layers.Flatten(), dense(64, "elu")]),
        posterior,
        keras.Sequential([dense(64, "elu"), dense(64), keras.layers.Reshape((8, 8))]),
    )
    model.compile(keras.optimizers.Adam(rate), jit_compile=False)
    data = tf.data.Dataset.from_tensor_slices(x).shuffle(len(x), seed=seed).batch(128, drop_remainder=True).repeat()
    history = model.fit(data, steps_per_epoch=steps, epochs=1, verbose=0).history
    return all(np.isfinite(value).all() for value in (history["loss"], *model.get_weights()))


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    from sklearn.datasets import load_digits

    x = (load_digits().images >= 8).astype(np.float32)
    rows = []
    kinds = itertools.product(map(float, FLAGS.rates), MAPS, (True, False), map(int, FLAGS.num_flows))
    for rate, scale, context, num_flows in kinds:
        kind = {"rate": rate, "scale": scale, "context": context, "num_flows": num_flows}
        finite = [ends_finite(x, **kind, seed=seed, steps=FLAGS.steps) for seed in range(FLAGS.seeds)]
        rows.append({**kind, "runs": len(finite), "not_finite": finite.count(False)})
        print(json.dumps(rows[-1]), flush=True)
    path = pathlib.Path(FLAGS.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {"runs": rows, "steps": FLAGS.steps, "latent_size": LATENT_SIZE, **provenance()}
    json_files.write(path, result)


if __name__ == "__main__":
    app.run(main)
