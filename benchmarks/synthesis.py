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
import sys
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # For `python benchmarks/synthesis.py`.

from benchmarks import step_cost
from examples.provenance import provenance
from tfp_iaf import networks

FLAGS = flags.FLAGS
flags.DEFINE_list("batch_sizes", [1, 64], "Images that are drawn at a time.")

SHAPE = (28, 28, 1)
FILTERS, KERNEL_SIZE = (72,) * 10, 5
# Every pixel costs the naive sampler the same: it draws so many of the 784, and its time is multiplied.
NAIVE_PIXELS = 16


def autoregressive_network(shape=SHAPE, filters=FILTERS, kernel_size=KERNEL_SIZE):
    """The logit of each pixel, given those before it in raster order."""
    network = networks.ConvAutoregressiveNetwork(1, shape, filters, kernel_size=kernel_size, residual=True)
    network.build()
    return network


def naive_sampler(network, num_pixels=None, jit_compile=True):
    """A function of uniform numbers `[B, H, W]` that draws binary images, one evaluation of the network for each pixel.

    Args:
        network: what `autoregressive_network` returns.
        num_pixels: how many pixels to draw, all of them by default.
        jit_compile: whether to compile with XLA.
    """
    height, width, _ = network.event_shape

    @tf.function(jit_compile=jit_compile, autograph=False)
    def sample(uniforms):
        flat = tf.reshape(uniforms, [-1, height * width])

        def draw(pixel, images):
            logits = network(tf.reshape(images, [-1, height, width, 1]))
            value = tf.cast(flat < tf.sigmoid(tf.reshape(logits, tf.shape(flat))), images.dtype)
            is_next = tf.one_hot(pixel, height * width, dtype=images.dtype)
            return pixel + 1, images + is_next * value

        count = num_pixels or height * width
        _, images = tf.while_loop(lambda *_: True, draw, (0, tf.zeros_like(flat)), maximum_iterations=count)
        return tf.reshape(images, tf.shape(uniforms))

    return sample


class CachedSampler:
    """Draws the same images from the features that it keeps.

    A layer's features at a pixel depend on pixels before it alone, since every hidden unit of a network with one channel has
    degree 0: they are computed once.

    Args:
        network: what `autoregressive_network` returns.
    """

    def __init__(self, network):
        self._height, self._width, _ = network.event_shape
        self._activation, self._skips = network.activation, [*network.skips, False]
        self._layers = [_Taps(linear_map.kernel.numpy(), linear_map.bias.numpy()) for linear_map in network.linear_maps()]

    def __call__(self, uniforms):
        """Binary images `[B, H, W]` of uniform numbers `[B, H, W]`."""
        caches = [layer.empty_cache(len(uniforms), self._height, self._width) for layer in self._layers]
        images = np.zeros(uniforms.shape, np.float32)
        for row in range(self._height):
            for column in range(self._width):
                features = None
                for k, layer in enumerate(self._layers):
                    if k:
                        layer.write(caches[k], row, column, features)
                    outputs = layer(caches[k], row, column)
                    if k < len(self._layers) - 1:
                        outputs = _elu(outputs)
                    features = features + outputs if self._skips[k] else outputs
                value = uniforms[:, row, column] < 1.0 / (1.0 + np.exp(-features[:, 0]))
                images[:, row, column] = value
                self._layers[0].write(caches[0], row, column, value[:, np.newaxis])
        return images


class _Taps:
    """One masked convolution at one pixel: the kernel's entries above it, and to its left and at it."""

    def __init__(self, kernel, bias):
        self._above, self._size = kernel.shape[0] - 1, kernel.shape[1]
        self._left = self._size // 2
        self._matrix = np.concatenate(
            [kernel[:-1].reshape(-1, kernel.shape[-1]), kernel[-1, : self._left + 1].reshape(-1, kernel.shape[-1])]
        )
        self._inputs, self._bias = kernel.shape[2], bias

    def empty_cache(self, batch, height, width):
        return np.zeros([batch, height + self._above, width + self._size - 1, self._inputs], np.float32)

    def write(self, cache, row, column, features):
        cache[:, row + self._above, column + self._left] = features

    def __call__(self, cache, row, column):
        above = cache[:, row : row + self._above, column : column + self._size].reshape(len(cache), -1)
        here = cache[:, row + self._above, column : column + self._left + 1].reshape(len(cache), -1)
        return np.concatenate([above, here], axis=1) @ self._matrix + self._bias


def _elu(x):
    return np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0)))


def contenders(batch_size):
    """Name -> (a function that draws a batch, which part of the images it draws, its number of parameters)."""
    vae = step_cost.mnist_resnet("iaf")
    vae.build((None, *SHAPE))
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
    out.write_text(json.dumps({"settings": settings, "results": results, **origin}, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
