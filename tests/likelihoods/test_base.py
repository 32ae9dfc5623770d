import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import likelihoods
from tfp_iaf.likelihoods import FromFunction, Likelihood

tfd = tfp.distributions

BUILT_IN = {
    "bernoulli": (np.array([[0.0, 1.0]]), 2, [0.5, -1.0, 2.0]),
    "normal": (np.array([[-3.0, 1e3]]), 4, []),
    "discretized_logistic": (np.array([[0.0, 255.0]]), 4, [0.5, -1.0, 256.0]),
}
every_name = pytest.mark.parametrize("name", BUILT_IN)


@every_name
def test_good_data_pass_both_checks_and_bad_data_neither(name):
    likelihood = likelihoods.get(name)
    good, _, bad_values = BUILT_IN[name]
    likelihood.check(good)
    for bad in [np.nan, np.inf, *bad_values]:
        x = np.concatenate([good, good])
        x[1, 1] = bad
        with pytest.raises(ValueError, match=r"NaN|takes data that") as error:
            likelihood.check(x)
        assert "\n" not in str(error.value)
        for is_valid in (likelihood.is_valid, tf.function(likelihood.is_valid)):
            np.testing.assert_array_equal(is_valid(tf.constant(x)), [True, False])


@every_name
def test_the_mean_is_the_distribution_s(name):
    likelihood = likelihoods.get(name)
    parameters = tf.constant(np.random.default_rng(0).normal(size=[5, BUILT_IN[name][1]]))
    np.testing.assert_allclose(likelihood.mean(parameters), likelihood.distribution(parameters).mean(), rtol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda p: tfd.Independent(tfd.QuantizedDistribution(tfd.Normal(p, 1.0)), 1),
        lambda p: tfd.Independent(tfd.LogitNormal(p, 1.0), 1),
        lambda p: tfd.Independent(tfd.StudentT(1.0, p, 1.0), 1),
        lambda p: tfd.Independent(tfd.Cauchy(p, 1.0), 1),
        lambda p: tfd.Independent(tfd.Categorical(logits=tf.stack([p, p], axis=-1)), 1),
    ],
    ids=["quantized", "logit-normal", "Student t of 1", "Cauchy", "categories"],
)
def test_without_a_mean_that_says_something_there_is_none(function):
    likelihood = FromFunction(function)
    for mean in (likelihood.mean, tf.function(likelihood.mean)):
        with pytest.raises(NotImplementedError, match="mean"):
            mean(tf.zeros([2, 3]))


def test_a_layer_is_no_likelihood():
    with pytest.raises(ValueError, match="holds no weights"):
        likelihoods.get(keras.layers.Dense(3))


def test_a_subclass_without_a_distribution_says_so():
    with pytest.raises(NotImplementedError, match="must write distribution"):
        Likelihood().distribution(tf.zeros([2, 3]))


def test_means_that_exist_at_some_parameters_only():
    student_t = FromFunction(lambda p: tfd.Independent(tfd.StudentT(tf.exp(p), 0.0, 1.0), 1))
    np.testing.assert_allclose(student_t.mean(tf.fill([1, 2], 2.0)), np.zeros([1, 2]))
    np.testing.assert_allclose(tf.function(student_t.mean)(tf.fill([1, 2], 2.0)), np.zeros([1, 2]))
    poisson = FromFunction(lambda p: tfd.Independent(tfd.Poisson(p + 1.0, validate_args=True), 1))
    np.testing.assert_allclose(poisson.mean(tf.fill([1, 2], 2.0)), np.full([1, 2], 3.0))
    one_cauchy = FromFunction(lambda p: tfd.Independent(tfd.StudentT([1.0, 5.0], p, 1.0), 1))
    for likelihood in (FromFunction(lambda p: tfd.Independent(tfd.Cauchy(p, 1.0), 1)), one_cauchy):
        with pytest.raises(NotImplementedError, match="no finite mean"):
            likelihood.mean(tf.fill([1, 2], 2.0))
