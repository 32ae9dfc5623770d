"""The paper's convolutional flows as its authors published them, on `tf.nn.conv2d`: kernels times masks, with zeros where
nothing is read. The inverse, which is not published, takes the entries one after another."""

import functools
import itertools
import math

import numpy as np
import tensorflow as tf

from benchmarks.contenders import Flow, tf_timing

PACKAGES = ("tensorflow",)


def mask_of(num_inputs, num_outputs, is_strict, is_reversed):
    """`[3, 3, inputs, outputs]`: the pixels before, and of the same pixel the channels before."""
    mask = np.zeros([3, 3, num_inputs, num_outputs], np.float32)
    mask[0], mask[1, 0] = 1.0, 1.0
    inputs, outputs = np.arange(num_inputs)[:, None], np.arange(num_outputs)[None]
    # Channels in proportion, so that every hidden one reads the inputs of its share.
    before = inputs * num_outputs // num_inputs, outputs
    if num_inputs > num_outputs:
        before = inputs, outputs * num_inputs // num_outputs
    mask[1, 1] = before[0] < before[1] if is_strict else before[0] <= before[1]
    return mask[::-1, ::-1, ::-1, ::-1] if is_reversed else mask


class MaskedConv:
    """One layer: a masked kernel, weight-normalized or not, and a bias."""

    def __init__(self, mask, seed, stddev, weight_norm):
        self._mask = tf.constant(mask)
        noise = np.random.default_rng(seed).normal(size=mask.shape) * stddev / np.sqrt(9 * mask.shape[2])
        self._v = tf.Variable(noise, dtype=tf.float32)
        self._bias = tf.Variable(tf.zeros(mask.shape[3]))
        self.weights = [self._v, self._bias]
        self._gain = tf.Variable(tf.fill([mask.shape[3]], stddev)) if weight_norm else None
        if weight_norm:
            self.weights.append(self._gain)

    def __call__(self, x):
        kernel = self._v * self._mask
        if self._gain is not None:
            # A unit that reads nothing has a kernel of zeros.
            norm = tf.sqrt(tf.maximum(tf.reduce_sum(tf.square(kernel), axis=[0, 1, 2]), 1e-12))
            kernel = kernel * (self._gain / norm)
        return tf.nn.conv2d(x, kernel, strides=1, padding="SAME") + self._bias


class Network:
    """Hidden layers, the context added to the first, and one convolution each for the mean and the log-scale."""

    def __init__(self, case, index):
        is_reversed = bool(index % 2)
        channels = case.event_shape[-1]
        sizes = [channels, *case.filters]
        masks = [mask_of(a, b, False, is_reversed) for a, b in itertools.pairwise(sizes)]
        heads = [mask_of(sizes[-1], channels, True, is_reversed)] * 2
        layers = [
            MaskedConv(mask, 10 * index + k, stddev, case.weight_norm)
            for k, (mask, stddev) in enumerate([*((mask, 1.4) for mask in masks), *((mask, 0.3) for mask in heads)])
        ]
        self._hidden, self._heads = layers[:-2], layers[-2:]
        noise = np.random.default_rng(index).normal(size=[1, 1, case.context_channels, case.filters[0]])
        self._context_kernel = tf.Variable(noise / np.sqrt(case.context_channels), dtype=tf.float32)
        self.weights = [weight for layer in layers for weight in layer.weights] + [self._context_kernel]

    def __call__(self, y, context):
        x = y
        for k, layer in enumerate(self._hidden):
            x = layer(x)
            if k == 0:
                x += tf.nn.conv2d(context, self._context_kernel, strides=1, padding="SAME")
            x = tf.nn.elu(x)
        return [head(x) for head in self._heads]


def make(case, mode) -> Flow:
    shape = [case.batch_size, *case.event_shape]
    size = math.prod(case.event_shape)
    context = tf.Variable(tf.random.stateless_normal([*shape[:-1], case.context_channels], seed=[1, 0]))
    networks = [Network(case, k) for k in range(case.num_flows)]

    def log_normal(y):
        return -0.5 * tf.reduce_sum(tf.square(y) + math.log(2.0 * math.pi), axis=[1, 2, 3])

    def sample():
        z = tf.random.normal(shape)
        log_q = log_normal(z)
        for network in networks:
            mean, log_scale = network(z, context)
            z = (z - mean) * tf.exp(-log_scale)
            log_q += tf.reduce_sum(log_scale, axis=[1, 2, 3])
        return z, log_q

    def invert(network, z):
        """Entry by entry: after k evaluations the first k are right."""

        def update(count, y):
            mean, log_scale = network(y, context)
            return count + 1, z * tf.exp(tf.clip_by_value(log_scale, -8.0, 8.0)) + mean

        _, y = tf.while_loop(lambda count, y: count < size, update, (0, tf.zeros(shape)), maximum_iterations=size)
        return y, tf.reduce_sum(network(y, context)[1], axis=[1, 2, 3])

    def log_prob(z):
        log_q = 0.0
        for network in reversed(networks):
            z, log_scales = invert(network, z)
            log_q += log_scales
        return log_q + log_normal(z)

    weights = [weight for network in networks for weight in network.weights]
    return tf_timing.flow(case, mode, sample, log_prob, weights, context)


CONTENDERS = {f"by hand, {mode}": functools.partial(make, mode=mode) for mode in ("XLA", "graph")}
