"""What every prior does, a user's own included."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties
from tfp_iaf import VAE, likelihoods, noise, posteriors, priors

tfd = tfp.distributions


@keras.saving.register_keras_serializable("tests.priors")
def wide_normal():
    return tfd.MultivariateNormalDiag(tf.zeros([2]), 2.0 * tf.ones([2]))


@keras.saving.register_keras_serializable("tests.priors")
def wide_normal_in_float64():
    return tfd.MultivariateNormalDiag(np.zeros([2]), 2.0 * np.ones([2]))


@keras.saving.register_keras_serializable("tests.priors")
class Shifted(priors.Prior):
    """A user's prior N(shift + a condition's sum, I), from outside the package."""

    def __init__(self, start=0.5, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, latent_shape):
        super().build(latent_shape)
        self.shift = self.add_weight(
            shape=latent_shape, initializer=keras.initializers.Constant(self.start), autocast=False, name="shift"
        )

    def _loc(self, condition):
        shift = tf.convert_to_tensor(self.shift)
        return shift if condition is None else shift + tf.reduce_sum(tf.cast(condition, shift.dtype), axis=-1, keepdims=True)

    def log_prob(self, z, condition=None):
        return tf.reduce_sum(noise.gaussian_log_prob(z - self._loc(condition), tf.ones([], self.density_dtype)), axis=-1)

    def sample(self, n, seed, temperature=1.0, condition=None):
        n, seed, temperature = self.check_sample_arguments(n, seed, temperature)
        eps = noise.standard_normal([n, *self.latent_shape], seed, self.density_dtype)
        return self._loc(condition) + temperature * eps

    def get_config(self):
        return {**super().get_config(), "start": self.start}


class Parts:
    """What a `VampPrior` reads of a model of 3 numbers and 2 latents."""

    def __init__(self, dtype):
        self.data_shape, self.condition_shape = (3,), None
        self.encoder = keras.layers.Dense(4, "tanh", kernel_initializer=keras.initializers.RandomNormal(seed=0), dtype=dtype)
        self.posterior = posteriors.IAF(2, hidden_units=(8,), seed=0, dtype=dtype)
        self.likelihood = likelihoods.Normal()
        self.posterior(self.encoder(tf.ones([1, 3])))
        properties.randomize(self.posterior, seed=1)


def connected(prior):
    prior.connect(Parts(prior.dtype_policy))
    return prior


PRIORS = {
    "autoregressive flow": lambda **kwargs: priors.AutoregressiveFlow(hidden_units=(8,), **kwargs),
    "VampPrior": lambda **kwargs: priors.VampPrior(3, seed=0, **kwargs),
    "standard normal": priors.StandardNormal,
    "fixed": lambda dtype="float32", **kwargs: priors.Fixed(
        wide_normal_in_float64 if dtype == "float64" else wide_normal, dtype=dtype, **kwargs
    ),
    "mixture": lambda **kwargs: priors.GaussianMixture(3, seed=0, **kwargs),
    "a user's": Shifted,
}
every_prior = pytest.mark.parametrize("make", PRIORS.values(), ids=PRIORS)


def built(make, latent_shape=(2,), **kwargs):
    prior = connected(make(**kwargs))
    prior.build(latent_shape)
    properties.randomize(prior)
    return prior


@every_prior
@pytest.mark.parametrize("dtype", ["float32", "float64", pytest.param("mixed_bfloat16", marks=pytest.mark.long)])
def test_shapes_and_dtypes(make, dtype):
    prior = built(make, dtype=dtype)
    z = prior.sample(5, seed=0)
    expected = "float64" if dtype == "float64" else "float32"
    assert (z.shape, z.dtype) == ((5, 2), expected)
    for value in (z, z[0], tf.stack([z, z])):
        log_prob = prior.log_prob(value)
        assert (log_prob.shape, log_prob.dtype) == (value.shape[:-1], expected)
    np.testing.assert_array_equal(prior(z), prior.log_prob(z))


@every_prior
def test_samples_follow_the_density(make):
    prior = built(make, dtype="float64")
    integral = properties.integral_on_the_plane(prior.log_prob, half_width=14.0)
    assert abs(integral - 1.0) < 1e-3
    axis = np.linspace(-14.0, 14.0, 301)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape([-1, 2])
    density = np.exp(prior.log_prob(grid)) * (axis[1] - axis[0]) ** 2
    samples = prior.sample(40000, seed=1).numpy()
    for power in (1, 2):
        error = (samples**power).std(axis=0) / 200.0
        assert (np.abs((samples**power).mean(axis=0) - density @ grid**power) < 5 * error + 1e-3).all()


@every_prior
def test_seeds(make):
    prior = built(make)
    draws = [prior.sample(4, seed) for seed in (3, 3, [0, 3], tf.constant([0, 3]))]
    for draw in draws[1:]:
        np.testing.assert_array_equal(draw, draws[0])
    assert np.abs(prior.sample(4, 4) - draws[0]).max() > 1e-2


@pytest.mark.parametrize("name", ["standard normal", "mixture", "a user's"])
def test_temperature_scales_the_noise(name):
    prior = built(PRIORS[name], dtype="float64")
    cold, half, one = (prior.sample(20, 1, temperature) for temperature in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(half - cold, 0.5 * (one - cold), atol=1e-12)
    assert np.abs(one - cold).max() > 0.5


@pytest.mark.parametrize(
    "name",
    ["autoregressive flow", *(pytest.param(name, marks=pytest.mark.long) for name in ("VampPrior", "mixture", "a user's"))],
)
def test_same_draws_in_eager_graph_and_xla(name):
    prior = built(PRIORS[name])
    expected = prior.sample(200, [3, 4], 0.7)
    for jit_compile in (False, True):
        compiled = tf.function(lambda seed, temperature: prior.sample(200, seed, temperature), jit_compile=jit_compile)
        np.testing.assert_allclose(compiled(tf.constant([3, 4]), tf.constant(0.7)), expected, atol=1e-4)


def test_counts_may_be_traced():
    for make in PRIORS.values():
        prior = built(make)
        sample = tf.function(lambda n, seed, prior=prior: prior.sample(n, seed))
        assert sample(tf.constant(6), tf.constant([0, 1])).shape == (6, 2)


@every_prior
def test_config_round_trip(make):
    prior = built(make)
    config = keras.saving.serialize_keras_object(prior)
    twin = priors.get(json.loads(json.dumps(config)))
    if not twin.built:
        connected(twin).build((2,))
    twin.set_weights(prior.get_weights())
    assert keras.saving.serialize_keras_object(twin)["config"] == config["config"]
    np.testing.assert_array_equal(twin.sample(3, 0), prior.sample(3, 0))


@every_prior
def test_checkpoints_hold_every_weight(make, tmp_path):
    prior, other = built(make), connected(make())
    other.build((2,))
    path = tf.train.Checkpoint(prior=prior).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(prior=other).read(path).assert_consumed()
    np.testing.assert_array_equal(prior.sample(3, 0), other.sample(3, 0))


@every_prior
def test_a_vae_trains_and_saves_its_prior(make, tmp_path):
    keras.utils.set_random_seed(0)
    model = VAE(
        keras.layers.Dense(8, "elu"), posteriors.DiagonalGaussian(2, seed=0), keras.layers.Dense(6), prior=make(name="prior")
    )
    x = (np.random.default_rng(0).random([64, 6]) < np.linspace(0.1, 0.9, 6)).astype(np.float32)
    model.build((None, 6))
    before = [weight.numpy() for weight in model.prior.weights]
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, batch_size=32, epochs=2, verbose=0)
    assert all((weight.numpy() != old).any() for weight, old in zip(model.prior.weights, before))
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    assert type(restored.prior) is type(model.prior)
    np.testing.assert_array_equal(restored.prior.sample(4, 0), model.prior.sample(4, 0))


@every_prior
def test_bad_arguments_raise_one_line(make):
    prior = built(make)
    for arguments, message in (
        ({"n": 0}, "n must be a positive integer"),
        ({"n": 1.9}, "n must be a positive integer"),
        ({"seed": 2**40}, "seed must be an integer or a pair"),
        ({"seed": [1.5, 2.5]}, "seed must be an integer or a pair"),
        ({"temperature": -1}, "temperature must be a number of at least 0"),
        ({"temperature": np.nan}, "temperature must be a number of at least 0"),
        ({"temperature": "warm"}, "temperature must be a number of at least 0"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            prior.sample(**{"n": 3, "seed": 0, **arguments})
        assert "\n" not in str(error.value)


@every_prior
def test_unbuilt_priors_and_bad_shapes(make):
    with pytest.raises(ValueError, match="knows no latents yet"):
        make().sample(3, 0)
    with pytest.raises(ValueError, match="number in latent_shape must be a positive integer"):
        make().build((0,))


def test_a_prior_without_its_methods():
    prior = built(priors.Prior)
    for call in (lambda: prior.log_prob(tf.zeros([2])), lambda: prior.sample(2, 0)):
        with pytest.raises(NotImplementedError, match="Prior has no"):
            call()


def test_a_condition_reaches_a_users_prior():
    prior = built(Shifted)
    condition = np.array([[1.0, 2.0], [0.0, 0.0]], np.float32)
    z = prior.sample(2, 0, temperature=0.0, condition=condition)
    np.testing.assert_allclose(z[0] - z[1], [3.0, 3.0], atol=1e-6)
    assert prior.log_prob(z, condition=condition)[0] > prior.log_prob(z)[0]
