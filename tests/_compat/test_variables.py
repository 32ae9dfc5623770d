import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import _compat


def test_the_variables_below_a_layer_are_those_that_keras_trains():
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    variables = _compat.tf_variables(layer.weights)
    assert all(isinstance(variable, tf.Variable) for variable in variables)
    layer.kernel.assign(np.ones([3, 2]))
    np.testing.assert_array_equal(variables[0], np.ones([3, 2]))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.ones([1, 3])))
    assert all(gradient is not None for gradient in tape.gradient(loss, variables))


def test_a_mixed_policy_leaves_them_as_they_are():
    layer = keras.layers.Dense(2, dtype="mixed_bfloat16")
    layer.build((None, 3))
    assert [variable.dtype for variable in _compat.tf_variables(layer.weights)] == [tf.float32, tf.float32]
    assert _compat.tf_variable(layer.bias) is _compat.tf_variables(layer.weights)[1]


def test_a_stateless_scope_is_seen():
    assert not _compat.in_stateless_scope()
    with keras.StatelessScope():
        assert _compat.in_stateless_scope()
    assert not _compat.in_stateless_scope()


def test_the_argument_training_of_the_call_is_seen():
    class Layer(keras.layers.Layer):
        def call(self, x, training=None):
            seen.append(_compat.call_under_way().training)
            return x

    seen = []
    for training in (True, False):
        Layer()(tf.ones([1]), training=training)
    assert seen == [True, False]
    assert _compat.call_under_way() is None


def test_what_a_graph_has_read():
    inner, outer = tf.Variable(1.0, trainable=False), tf.Variable(2.0)
    seen = []

    @tf.function
    def nested():
        return 2.0 * inner

    @tf.function
    def read():
        result = outer + nested()
        seen.extend(_compat.variables_read())
        return result

    read()
    assert {id(variable) for variable in seen} == {id(inner), id(outer)}
    assert _compat.variables_read() == ()
