"""Images per second: the VAE with an IAF posterior beside drawing pixel by pixel from an autoregressive network.

    python -m benchmarks.synthesis --out=benchmarks/results/synthesis.json

The VAE is that of `examples/train_image_vae.py --preset=mnist-resnet`: one pass of its decoder draws an image. The
autoregressive network is our masked convolutional one, of about as many parameters, over binary images of 28 x 28. It draws a
pixel once those before it are known, in one of two ways:

- "naive": the whole network is evaluated for every pixel;
- "cached": of every layer, the features of the pixels before are kept, and each pixel costs one product per layer with those in
  reach (Ramachandran et al. 2017, "Fast generation for convolutional autoregressive models").

All contenders take turns; figures are medians over the rounds, and ratios are medians of the rounds' ratios. Weights are
untrained, on which the time does not depend.
"""

import json
import pathlib
import statistics
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

from benchmarks import step_cost
from benchmarks.pixel_samplers import FILTERS, KERNEL_SIZE, SHAPE, CachedSampler, autoregressive_network, naive_sampler
from examples import json_files
from examples.provenance import provenance

FLAGS = flags.FLAGS
FLAGS.set_default("out", "runs/synthesis.json")
flags.DEFINE_list("batch_sizes", [1, 64], "Images that are drawn at a time.")

# Every pixel costs the naive sampler the same: it draws so many of the 784, and its time is multiplied.
NAIVE_PIXELS = 16


def contenders(batch_size):
    """Name -> (a function that draws a batch, which part of the images it draws, its number of parameters)."""
    vae = step_cost.mnist_resnet("iaf")
    vae.build((None, *SHAPE[:2]))
    network = autoregressive_network()
    cached = CachedSampler(network)
    draw, naive = tf.function(lambda seed: vae.sample(batch_size, seed), jit_compile=True), naive_sampler(network, NAIVE_PIXELS)
    rng = np.random.default_rng(0)

    def uniforms():
        return rng.random([batch_size, *SHAPE[:2]], np.float32)

    return {
        "IAF-VAE": (lambda: draw(tf.constant(rng.integers(2**31, size=2), tf.int32)).numpy(), 1.0, vae.count_params()),
        "cached": (lambda: cached(uniforms()), 1.0, network.count_params()),
        "naive": (lambda: naive(tf.constant(uniforms())).numpy(), NAIVE_PIXELS / np.prod(SHAPE), network.count_params()),
    }


def measure(batch_size):
    """Name -> figures, of contenders that take turns."""
    found = contenders(batch_size)
    repeats = {}
    for name, (draw, _, _) in found.items():
        draw()
        repeats[name] = max(1, round(FLAGS.seconds / _seconds(draw)))
    rounds = [
        {name: batch_size * part * repeats[name] / _seconds(draw, repeats[name]) for name, (draw, part, _) in found.items()}
        for _ in range(FLAGS.rounds)
    ]
    return {
        name: {
            "images_per_second": statistics.median(row[name] for row in rounds),
            "times_slower_than_the_vae": statistics.median(row["IAF-VAE"] / row[name] for row in rounds),
            "parameters": parameters,
        }
        for name, (_, _, parameters) in found.items()
    }


def _seconds(draw, repeats=1):
    start = time.perf_counter()
    for _ in range(repeats):
        draw()
    return time.perf_counter() - start


def main(_):
    out = pathlib.Path(FLAGS.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    origin = provenance()
    results = {}
    for batch_size in map(int, FLAGS.batch_sizes):
        results[batch_size] = measure(batch_size)
        print(batch_size, json.dumps(results[batch_size], indent=1), flush=True)
    settings = {"filters": FILTERS, "kernel_size": KERNEL_SIZE, "naive_pixels": NAIVE_PIXELS, "rounds": FLAGS.rounds}
    json_files.write(out, {"settings": settings, "results": results, **origin})


if __name__ == "__main__":
    app.run(main)
