import gc
import threading
import weakref

import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tests.bijectors.constructors import OwnNetwork, normals
from tfp_iaf import _compat
from tfp_iaf.bijectors import InverseAutoregressiveFlow
from tfp_iaf.networks import AutoregressiveNetwork


@_compat.custom_gradient
def cube(x):
    # Of a wrong gradient, to tell it from the true one.
    return x**3, lambda upstream: 7.0 * upstream


def test_the_gradient_is_the_given_one():
    x = tf.constant(2.0)

    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = cube(x)
        return tape.gradient(y, x)

    for function in (slope, tf.function(slope), tf.function(slope, jit_compile=True)):
        assert function(x).numpy() == 7.0


def test_a_graph_with_one_is_freed():
    @tf.function(autograph=False)
    def function(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = cube(x)
        return tape.gradient(y, x)

    graph = weakref.ref(function.get_concrete_function(tf.constant(1.0)).graph)
    assert graph() is not None
    del function
    gc.collect()
    assert graph() is None


def test_a_graph_that_lives_keeps_its_gradient():
    function = tf.function(cube, autograph=False)
    x = tf.constant(2.0)
    function(x)
    gc.collect()
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    assert tape.gradient(y, x).numpy() == 7.0


def attempt(seed):
    """Builds, traces, calls and differentiates: returns what it found, for comparison with a thread of its own."""
    results = []
    for network in (
        AutoregressiveNetwork(2, 8, (256, 256), context_size=3, activation="elu", seed=1),
        OwnNetwork(6, 3),
    ):
        network.build()
        properties.randomize(network, seed=seed)
        flow = InverseAutoregressiveFlow(network, context=tf.cast(normals(4, 3), tf.float32))
        z = tf.cast(normals(4, *network.event_shape), tf.float32)

        def differentiated(z, flow=flow):
            with tf.GradientTape() as tape:
                tape.watch(z)
                y, log_det = flow.inverse_and_log_det(z)
                back, _ = flow.forward_and_log_det(y)
                loss = tf.reduce_sum(tf.sin(y)) + tf.reduce_sum(log_det) + tf.reduce_sum(back**2)
            return [y, back, *tape.gradient(loss, [z, *flow.trainable_variables])]

        results += tf.function(differentiated, autograph=False)(z) + differentiated(z)
    return [result.numpy() for result in results]


def check_threads(attempts):
    """Two threads at a time, each of which frees the graphs of its attempt while the other one traces."""
    expected = [attempt(seed) for seed in range(2)]
    failures = []

    def run(seed, barrier):
        try:
            barrier.wait()
            for ours, value in zip(attempt(seed), expected[seed]):
                np.testing.assert_allclose(ours, value, rtol=1e-3, atol=1e-3)
        except Exception as error:
            failures.append(repr(error))
        gc.collect()

    for _ in range(attempts):
        barrier = threading.Barrier(2)
        threads = [threading.Thread(target=run, args=(seed, barrier)) for seed in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures, failures[0]


def test_threads_that_build_trace_call_and_differentiate():
    check_threads(1)


@pytest.mark.long
def test_many_threads_that_build_trace_call_and_differentiate():
    check_threads(200)


def test_threads_that_trace_custom_gradients_alone():
    """Cheap, so many: eight threads trace, differentiate and free at once."""
    failures = []

    def run(factor):
        try:
            for _ in range(20):
                scaled = _compat.custom_gradient(lambda x: (x**2, lambda upstream: factor * upstream))

                @tf.function(autograph=False)
                def slope(x, scaled=scaled):
                    with tf.GradientTape() as tape:
                        tape.watch(x)
                        y = scaled(x)
                    return tape.gradient(y, x)

                assert slope(tf.constant(1.0)).numpy() == factor
        except Exception as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=run, args=(float(factor),)) for factor in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
