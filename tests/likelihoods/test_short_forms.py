import keras
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import likelihoods

tfd = tfp.distributions


@keras.saving.register_keras_serializable("tests.likelihoods")
def poisson(parameters):
    return tfd.Independent(tfd.Poisson(log_rate=parameters), 1)


@keras.saving.register_keras_serializable("tests.likelihoods")
class Scaled(likelihoods.Likelihood):
    def __init__(self, scale):
        self.scale = scale

    def distribution(self, parameters):
        return tfd.Independent(tfd.Normal(parameters, self.scale), 1)

    def get_config(self):
        return {"scale": self.scale}


@pytest.mark.parametrize("name", ["bernoulli", "discretized_logistic", "normal"])
def test_names_round_trip(name):
    assert likelihoods.serialize(likelihoods.get(name)) == name


def test_arguments_callables_and_users_classes_round_trip():
    assert likelihoods.get(likelihoods.serialize(likelihoods.Normal(log_scale_bound=3.0))).log_scale_bound == 3.0
    assert likelihoods.get(likelihoods.serialize(likelihoods.get(poisson))).function is poisson
    assert likelihoods.get(likelihoods.serialize(Scaled(2.0))).scale == 2.0
    likelihood = Scaled(1.0)
    assert likelihoods.get(likelihood) is likelihood


class Unregistered(likelihoods.Likelihood):
    pass


@pytest.mark.parametrize("likelihood", [lambda p: tfd.Independent(tfd.Normal(p, 1.0), 1), tf.exp, Unregistered()])
def test_what_a_file_could_not_name_is_refused(likelihood):
    with pytest.raises(ValueError, match="register_keras_serializable") as error:
        likelihoods.serialize(likelihoods.get(likelihood))
    assert "\n" not in str(error.value)


def test_a_file_names_only_what_is_registered():
    function = {"module": "os", "class_name": "function", "config": "abort", "registered_name": "abort"}
    with pytest.raises(ValueError, match="not registered"):
        likelihoods.get(function)


@pytest.mark.parametrize("identifier", ["bernouli", 3, None, likelihoods.Normal])
def test_unknown(identifier):
    with pytest.raises(ValueError, match="must be one of bernoulli, discretized_logistic, normal"):
        likelihoods.get(identifier)
