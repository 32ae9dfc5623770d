"""Drawing binary images pixel by pixel from an autoregressive network of masked convolutions."""

import numpy as np
import tensorflow as tf

from tfp_iaf import networks

SHAPE = (28, 28, 1)
FILTERS, KERNEL_SIZE = (72,) * 10, 5


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
