"""Each prior on its own, and what a model's `prior=` may be."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import networks, priors
from tfp_iaf.bijectors import InverseAutoregressiveFlow

tfb = tfp.bijectors
tfd = tfp.distributions


def normal():
    return tfd.MultivariateNormalDiag(tf.zeros([2]), tf.ones([2]))


def test_standard_normal_equals_tfp():
    prior = priors.StandardNormal()
    prior.build((3, 2))
    z = prior.sample(5, 0)
    expected = tfd.Independent(tfd.Normal(tf.zeros([3, 2]), 1.0), 2).log_prob(z)
    np.testing.assert_allclose(prior.log_prob(z), expected, rtol=1e-6)


def test_standard_normal_by_entry():
    prior = priors.StandardNormal()
    prior.build((4,))
    z = tf.random.stateless_normal([3, 4], seed=[0, 1])
    np.testing.assert_allclose(tf.reduce_sum(prior.log_prob_by_entry(z), axis=-1), prior.log_prob(z), rtol=1e-6)
    with pytest.raises(ValueError, match=r"expects z of shape \[\.\.\., 4\], got \(3, 7\)"):
        prior.log_prob_by_entry(tf.ones([3, 7]))


def test_mixture_equals_tfp():
    prior = priors.GaussianMixture(4, seed=0, dtype="float64")
    prior.build((3, 2))
    prior.logits.assign([0.0, 1.0, -1.0, 0.5])
    prior.unconstrained_scales.assign(np.random.default_rng(0).normal(size=[4, 3, 2]))
    log_weights, locs, scales = prior.components()
    expected = tfd.MixtureSameFamily(tfd.Categorical(log_weights), tfd.Independent(tfd.Normal(locs, scales), 2))
    z = prior.sample(50, 0)
    np.testing.assert_allclose(prior.log_prob(z), expected.log_prob(z), rtol=1e-10)


def test_mixture_draws_its_components_as_often_as_their_weights_say():
    prior = priors.GaussianMixture(3)
    prior.build((1,))
    prior.logits.assign(np.log([0.2, 0.5, 0.3]))
    prior.locs.assign([[-100.0], [0.0], [100.0]])
    draws = np.round(prior.sample(20000, 0).numpy()[:, 0] / 100.0)
    np.testing.assert_allclose([(draws == k).mean() for k in (-1, 0, 1)], [0.2, 0.5, 0.3], atol=0.015)
    assert set(np.unique(prior.sample(100, 0, temperature=0.0))) == {-100.0, 0.0, 100.0}


def test_mixture_fits_two_modes_by_maximum_likelihood():
    rng = np.random.default_rng(0)
    x = (rng.choice([-3.0, 3.0], size=[2000, 1]) + 0.5 * rng.normal(size=[2000, 1])).astype(np.float32)
    prior = priors.GaussianMixture(2, seed=0)
    prior.build((1,))
    optimizer = keras.optimizers.Adam(0.1)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(prior.log_prob(x))
        optimizer.apply(tape.gradient(loss, prior.tf_variables), prior.trainable_weights)
        return loss

    optimizer.build(prior.trainable_weights)
    losses = [float(step()) for _ in range(150)]
    entropy = np.log(2.0) + 0.5 * np.log(2.0 * np.pi * np.e * 0.25)
    assert losses[-1] < entropy + 0.05


def masked_autoregressive_flow():
    network = networks.AutoregressiveNetwork(params=2, event_shape=2, hidden_units=(8,))
    network.build((None, 2))
    return tfd.TransformedDistribution(normal(), tfb.MaskedAutoregressiveFlow(network))


def through_a_closure():
    variable = tf.Variable([1.0, 1.0])
    return tfd.TransformedDistribution(
        normal(),
        tfb.Inline(
            forward_fn=lambda x: x * variable,
            inverse_fn=lambda y: y / variable,
            forward_log_det_jacobian_fn=lambda x: tf.reduce_sum(tf.math.log(variable)),
            forward_min_event_ndims=1,
        ),
    )


def flow_of_ours():
    network = networks.AutoregressiveNetwork(params=2, event_shape=2, hidden_units=(8,))
    return tfd.TransformedDistribution(normal(), InverseAutoregressiveFlow(network))


TRAINABLE = [
    lambda: tfd.MultivariateNormalDiag(tf.Variable(tf.zeros([2])), tf.ones([2])),
    masked_autoregressive_flow,
    through_a_closure,
    flow_of_ours,
]


@pytest.mark.parametrize("distribution_fn", TRAINABLE)
@pytest.mark.parametrize("call", [False, True])
def test_a_distribution_that_nobody_would_train_is_refused(distribution_fn, call):
    with pytest.raises(ValueError, match="reads trainable variables") as error:
        priors.Fixed(distribution_fn() if call else distribution_fn)
    assert "\n" not in str(error.value)


def test_variables_that_are_not_trained_are_fixed():
    loc = tf.Variable([1.0, 2.0], trainable=False)
    prior = priors.Fixed(tfd.MultivariateNormalDiag(loc, tf.ones([2])))
    prior.build((2,))
    assert float(prior.log_prob(tf.constant([1.0, 2.0]))) == pytest.approx(-np.log(2.0 * np.pi))


def test_a_distribution_without_samples():
    class Density(tfd.Distribution):
        def __init__(self):
            super().__init__(tf.float32, tfd.NOT_REPARAMETERIZED, validate_args=False, allow_nan_stats=True, name="density")

        def _event_shape(self):
            return tf.TensorShape([2])

        def _batch_shape(self):
            return tf.TensorShape([])

        def _log_prob(self, z):
            return -tf.reduce_sum(tf.abs(z), axis=-1)

    prior = priors.Fixed(Density())
    prior.build((2,))
    assert prior.log_prob(tf.ones([2])) == -2.0


def test_fixed_made_while_a_function_is_traced():
    made = []

    @tf.function
    def trace():
        made.append(priors.Fixed(normal))

    trace()
    made[0].build((2,))
    assert made[0].sample(3, 0).shape == (3, 2)


def test_fixed_has_one_temperature():
    prior = priors.Fixed(normal)
    prior.build((2,))
    for temperature in (0.5, tf.constant(2.0)):
        with pytest.raises(ValueError, match="temperature 1 only"):
            prior.sample(3, 0, temperature)
    sample = tf.function(lambda temperature: prior.sample(3, 0, temperature))
    assert sample(tf.constant(1.0)).shape == (3, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="temperature must be 1"):
        sample(tf.constant(0.5))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: priors.Fixed(normal).build((3,)),
            r"of a latent, \(3,\), and batch_shape \(\), got event_shape \(2,\) .* one size",
        ),
        (lambda: priors.Fixed(lambda: tfd.Normal(tf.zeros([2]), 1.0)).build((2,)), r"wrap it in tfd.Independent\(\.\.\., 1\)"),
        (lambda: priors.Fixed(normal, dtype="float64").build((2,)), "must have dtype float64 as the model has, got float32"),
        (lambda: priors.Fixed(lambda: 3), "a function that returns one, got 3"),
        (lambda: priors.Fixed(3), "a function that returns one, got 3"),
        (lambda: priors.GaussianMixture(0), "num_components must be a positive integer"),
        (lambda: priors.get(3), "prior must be a priors.Prior"),
        (lambda: priors.get("normal"), "prior must be a priors.Prior"),
        (lambda: priors.get(priors.StandardNormal), "prior must be a priors.Prior"),
        (lambda: priors.Fixed(normal()).get_config(), "cannot be written into a file"),
        (lambda: priors.Fixed(normal).get_config(), "decorate 'normal'"),
        (lambda: priors.Fixed(lambda: normal()).get_config(), "cannot be written into a file"),
    ],
)
def test_bad_arguments_raise_one_line(build, message):
    with pytest.raises(ValueError, match=message) as error:
        build()
    assert "\n" not in str(error.value)


def test_get():
    assert type(priors.get(None)) is priors.StandardNormal
    assert priors.get(None, dtype="float64").density_dtype == "float64"
    prior = priors.GaussianMixture(2)
    assert priors.get(prior) is prior
    for given in (normal, normal()):
        assert type(priors.get(given)) is priors.Fixed


@keras.saving.register_keras_serializable("tests.priors")
def registered_normal():
    return normal()


def test_a_file_names_registered_functions_only():
    config = keras.saving.serialize_keras_object(priors.Fixed(registered_normal))
    assert priors.get(config).distribution_fn is registered_normal
    for abort in (
        {"module": "os", "class_name": "function", "config": "abort", "registered_name": "abort"},
        {
            **config,
            "config": {
                **config["config"],
                "distribution_fn": {"module": "os", "class_name": "function", "config": "abort", "registered_name": "abort"},
            },
        },
        {"module": "subprocess", "class_name": "Popen", "config": {"args": "true"}, "registered_name": "Popen"},
    ):
        with pytest.raises(ValueError, match="is not registered") as error:
            priors.get(abort)
        assert "\n" not in str(error.value)
