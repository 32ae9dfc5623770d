"""Every operation of training and of densities has a kernel for a GPU, and XLA lowers it."""

import numpy as np
import pytest
import tensorflow as tf

from tests import cases
from tests.device_kernels import without_gpu_kernel
from tests.models.hierarchical.models import images, make
from tests.posteriors.constructors import CASES

# Tracing and lowering take seconds for each; the rest are long.
QUICK = {"IAF"}


def gradient_of(loss, model):
    """A function that gives the gradients of `loss(*args)` by the model's weights."""

    def gradient(*args):
        with tf.GradientTape() as tape:
            value = loss(*args)
        return tape.gradient(value, [weight.value for weight in model.trainable_variables])

    return tf.function(gradient, autograph=False)


def gradient_of_a_sample(posterior):
    def loss(features):
        z, log_q = posterior(features, seed=[0, 1])
        return tf.reduce_mean(log_q + tf.reduce_sum(tf.square(tf.reshape(z, [6, -1])), axis=-1))

    return gradient_of(loss, posterior)


def gradient_of_a_density(posterior):
    return gradient_of(lambda features, z: tf.reduce_mean(posterior(features, value=z)), posterior)


def is_one_function(concrete):
    """Whether a concrete function calls no other: where a gradient passes through a call, XLA may copy all weights."""
    operations = {operation.type for operation in concrete.graph.get_operations()}
    return not operations & {"PartitionedCall", "StatefulPartitionedCall"}


@cases.parametrize("case", CASES, set(CASES) - QUICK)
def test_posteriors(case):
    posterior, features = case.trained(), tf.constant(case.features())
    z = tf.constant(np.zeros([6, *case.latent_shape], np.float32))
    sample = gradient_of_a_sample(posterior).get_concrete_function(features)
    assert not without_gpu_kernel(sample)
    assert is_one_function(sample)
    assert not without_gpu_kernel(gradient_of_a_density(posterior).get_concrete_function(features, z))


@pytest.mark.long
@cases.parametrize("case", CASES)
def test_xla_lowers_posteriors(case):
    posterior, features = case.trained(), tf.constant(case.features())
    z = tf.constant(np.zeros([6, *case.latent_shape], np.float32))
    for function, args in ((gradient_of_a_sample(posterior), (features,)), (gradient_of_a_density(posterior), (features, z))):
        compiled = tf.function(function.python_function, autograph=False, jit_compile=True)
        assert "HloModule" in compiled.experimental_get_compiler_ir(*args)(stage="hlo")


@pytest.mark.long
def test_the_hierarchical_model():
    model, x = make(), tf.cast(images(), tf.float32)

    def loss(data):
        terms = model.elbo_terms(data, seed=[0, 1])
        return tf.reduce_mean(terms["kl"] - terms["reconstruction"])

    step = gradient_of(loss, model).get_concrete_function(x)
    assert not without_gpu_kernel(step)
    assert is_one_function(step)


def test_a_function_that_calls_another_is_found():
    inner = tf.function(tf.square, autograph=False)
    assert not is_one_function(tf.function(lambda x: inner(x), autograph=False).get_concrete_function(tf.constant(1.0)))


def test_what_no_gpu_can_do_is_found():
    @tf.function(autograph=False)
    def shuffled(x):
        return tf.cond(x[0] > 0, lambda: tf.random.shuffle(x), lambda: x)

    assert without_gpu_kernel(shuffled.get_concrete_function(tf.TensorSpec([3], tf.float32))) == {"RandomShuffle"}
