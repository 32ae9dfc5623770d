"""The quantities of a TensorFlow flow, from its sampling and its density, in one mode of execution."""

import tensorflow as tf

from benchmarks.contenders import Flow
from benchmarks.conv_cases import ConvCase


def use_full_precision():
    """On a GPU: full float32 products, which are PyTorch's default, for all contenders."""
    tf.config.experimental.enable_tensor_float_32_execution(False)


use_full_precision()

MODES = {
    "XLA": lambda function: tf.function(function, jit_compile=True),
    "graph": tf.function,
    "eager": lambda function: function,
}


def flow(case, mode, sample, log_prob, weights, context):
    """The `Flow` of two functions.

    Args:
        case: a `Case`, or a `ConvCase`.
        mode: one of `MODES`.
        sample: () -> (z, log_q), with fresh noise.
        log_prob: z -> log_q.
        weights: the `tf.Variable`s to differentiate with respect to.
        context: `[B, ..., C]`, a `tf.Variable`.
    """
    event_shape = case.event_shape if isinstance(case, ConvCase) else (case.event_size,)
    z_given = tf.random.stateless_normal([case.batch_size, *event_shape], seed=[2, 0])

    def gradients():
        with tf.GradientTape() as tape:
            z, log_q = sample()
            loss = tf.reduce_mean(log_q + 0.5 * tf.reduce_sum(tf.square(z), axis=range(1, z.shape.rank)))
        return tape.gradient(loss, [*weights, context])

    # One level of functions: where a gradient passes through an inner one, XLA may copy all weights to the host.
    forward, step, inverse = (MODES[mode](function) for function in (sample, gradients, log_prob))

    def round_trip():
        z, log_q = forward()
        return log_q.numpy(), inverse(tf.constant(z.numpy())).numpy()

    quantities = {
        "forward": lambda: finish(forward),
        "training step": lambda: finish(step),
        # A new tensor: TFP's bijector cache would answer for an old one.
        "inverse": lambda: finish(lambda: inverse(tf.identity(z_given))),
    }
    return Flow(quantities, round_trip, sum(int(tf.size(weight)) for weight in weights))


def finish(function):
    """Calls a function, and returns when the work is done: a GPU's is still under way when a call returns."""
    outputs = function()
    tf.test.experimental.sync_devices()
    del outputs
