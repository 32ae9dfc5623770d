import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties
from tfp_iaf.posteriors import IAF, DiagonalGaussian, FullCovariance, RecurrentIAF

tfd = tfp.distributions

CONSTRUCTORS = {
    "diagonal": DiagonalGaussian,
    "full covariance": FullCovariance,
    "IAF": lambda size, **kwargs: IAF(size, hidden_units=(12, 12), **kwargs),
    "IAF, gated": lambda size, **kwargs: IAF(size, num_steps=3, hidden_units=(12,), bijector_fn="gated", **kwargs),
    "IAF, location": lambda size, **kwargs: IAF(size, hidden_units=(12,), bijector_fn="location", residual=True, **kwargs),
    "IAF, spline": lambda size, **kwargs: IAF(size, hidden_units=(12,), bijector_fn="spline", **kwargs),
    "recurrent IAF": lambda size, **kwargs: RecurrentIAF(size, units=8, **kwargs),
    "IAF, no context": lambda size, **kwargs: IAF(size, hidden_units=(12,), context_size=0, **kwargs),
}
every_posterior = pytest.mark.parametrize("make", CONSTRUCTORS.values(), ids=CONSTRUCTORS)


def features(rows=6, size=7):
    return np.random.default_rng(0).normal(size=[rows, size]).astype(np.float32)


def trained(make, size=4, seed=1, **kwargs):
    """A posterior with weights away from their start."""
    posterior = make(size, seed=seed, **kwargs)
    posterior(features())
    properties.randomize(posterior)
    return posterior


@every_posterior
@pytest.mark.parametrize("num_samples", [None, 1, 5])
def test_log_q_equals_the_log_prob_of_the_distribution(make, num_samples):
    posterior = trained(make, dtype="float64")
    z, log_q = posterior(features(), num_samples=num_samples)
    leading = () if num_samples is None else (num_samples,)
    assert z.shape == (*leading, 6, 4)
    assert log_q.shape == (*leading, 6)
    distribution = posterior.distribution(features())
    assert isinstance(distribution, tfd.TransformedDistribution)
    assert distribution.batch_shape == [6]
    assert distribution.event_shape == [4]
    properties.check_sample_density(distribution, z, log_q, atol=1e-9)
    np.testing.assert_allclose(posterior.log_prob(features(), z), log_q, atol=1e-9)
    np.testing.assert_allclose(posterior.log_prob(features()[:1], z[..., :1, :]), log_q[..., :1], atol=1e-9)


@every_posterior
def test_float32_log_q_is_consistent(make):
    posterior = trained(make)
    z, log_q = posterior(features(), num_samples=200)
    properties.check_sample_density(posterior.distribution(features()), z, log_q, atol=1e-3)


@every_posterior
def test_two_dimensional_density_integrates_to_one(make):
    posterior = trained(make, size=2, dtype="float64")
    # The last layers widely off zero, so that the flow is far from Gaussian.
    properties.randomize(posterior, scale=0.5, seed=4)
    row = features()[:1]
    reach = np.abs(posterior(row, num_samples=10000)[0]).max()
    integral = properties.integral_on_the_plane(
        lambda z: posterior.log_prob(row, z[:, None, :])[:, 0], half_width=1.5 * reach, points=601
    )
    assert abs(integral - 1.0) < 0.01


@every_posterior
def test_samples_have_the_moments_of_the_density(make):
    """The mean of z over samples equals the integral of z q(z) over the plane."""
    posterior = trained(make, size=2, dtype="float64")
    row = features()[:1]
    axis = np.linspace(-12.0, 12.0, 601)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape([-1, 2])
    density = np.exp(posterior.log_prob(row, grid[:, None, :])[:, 0]) * (axis[1] - axis[0]) ** 2
    samples = posterior(row, num_samples=40000)[0][:, 0].numpy()
    for power in (1, 2):
        expected = (density[:, None] * grid**power).sum(axis=0)
        error = (samples**power).std(axis=0) / np.sqrt(len(samples))
        assert (np.abs((samples**power).mean(axis=0) - expected) < 5 * error + 1e-3).all()


@every_posterior
def test_rows_draw_independent_noise(make):
    posterior = trained(make)
    z, _ = posterior(np.repeat(features()[:1], 8, axis=0))
    assert len(np.unique(z[:, 0].numpy())) == 8


@every_posterior
def test_same_noise_in_eager_graph_and_xla(make):
    results = []
    for wrap in (lambda f: f, tf.function, lambda f: tf.function(f, jit_compile=True)):
        posterior = trained(make)
        results.append(wrap(lambda x, posterior=posterior: posterior(x))(features()))
    for z, log_q in results[1:]:
        np.testing.assert_allclose(z, results[0][0], atol=1e-4)
        np.testing.assert_allclose(log_q, results[0][1], atol=1e-4)


@every_posterior
def test_seeds(make):
    first, again, other = (trained(make, seed=seed)(features())[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-2
    posterior = trained(make)
    given = [posterior(features(), seed=[3, 4])[0] for _ in range(2)]
    np.testing.assert_array_equal(*given)
    assert np.abs(posterior(features())[0] - posterior(features())[0]).max() > 1e-2


@every_posterior
def test_seed_state_is_saved_and_restored(make, tmp_path):
    def model():
        inputs = keras.Input((7,))
        return keras.Model(inputs, make(4, seed=1)(inputs))

    saved = model()
    saved(features())
    saved.save_weights(tmp_path / "x.weights.h5")
    expected = [saved(features())[0] for _ in range(2)]
    restored = model()
    restored.load_weights(tmp_path / "x.weights.h5")
    for z in expected:
        np.testing.assert_array_equal(restored(features())[0], z)


@every_posterior
def test_config_round_trip(make):
    posterior = trained(make)
    twin = type(posterior).from_config(posterior.get_config())
    twin(features())
    twin.set_weights(posterior.get_weights())
    assert twin.get_config() == posterior.get_config()
    for ours, other in zip(twin(features(), seed=[0, 1]), posterior(features(), seed=[0, 1])):
        np.testing.assert_array_equal(ours, other)


@every_posterior
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    ("policy", "result"),
    [("float64", "float64"), ("mixed_bfloat16", "float32"), ("bfloat16", "float32"), ("mixed_float16", "float32")],
)
def test_densities_are_computed_in_float32_or_better(make, policy, result, jit_compile):
    posterior = trained(make, dtype=policy)
    sample = tf.function(lambda x: posterior(x, num_samples=50), jit_compile=jit_compile)
    z, log_q = sample(features())
    assert z.dtype.name == log_q.dtype.name == result
    density = posterior.log_prob(features(), properties.fresh(z))
    assert density.dtype.name == result
    assert np.isfinite(log_q).all()
    assert np.isfinite(density).all()


def test_half_precision_networks_survive_growth_on_the_way():
    """Unsettled entries outgrow float16 long before float32."""
    posterior = IAF(32, hidden_units=(64, 64), seed=1, dtype="mixed_float16")
    posterior(features(64))
    properties.randomize(posterior, scale=1.5)
    z, log_q = posterior(features(64))
    density = posterior.log_prob(features(64), z)
    assert np.isfinite(log_q).all()
    assert np.isfinite(density).all()


def test_a_subclass_with_weights_of_its_own_is_restored(tmp_path):
    class Shifted(DiagonalGaussian):
        def build(self, features_shape):
            super().build(features_shape)
            self.shift = self.add_weight(shape=(2,), name="shift")

    def model():
        inputs = keras.Input((7,))
        return keras.Model(inputs, Shifted(4, name="shifted")(inputs))

    saved, restored = model(), model()
    saved.get_layer("shifted").shift.assign([1.0, 2.0])
    saved.save_weights(tmp_path / "x.weights.h5")
    restored.load_weights(tmp_path / "x.weights.h5")
    np.testing.assert_array_equal(restored.get_layer("shifted").shift.numpy(), [1.0, 2.0])


@every_posterior
def test_symbolic_shapes(make):
    z, log_q = make(4)(keras.Input((7,)))
    assert z.shape == (None, 4)
    assert log_q.shape == (None,)
    z, log_q = make(4)(keras.Input((7,)), num_samples=3)
    assert z.shape == (3, None, 4)
    assert log_q.shape == (3, None)


@every_posterior
def test_untrained_posterior_is_near_its_base(make):
    """Scales near one: the KL to a standard normal stays small at the start."""
    posterior = make(4)
    z, log_q = posterior(0.1 * features(), num_samples=500)
    kl = np.mean(log_q - tfd.MultivariateNormalDiag(tf.zeros(4)).log_prob(z))
    assert -0.1 < kl < 1.0


def test_diagonal_equals_tfp():
    posterior = trained(DiagonalGaussian, dtype="float64")
    distribution = posterior.distribution(features())
    z, log_q = posterior(features())
    np.testing.assert_allclose(
        log_q, tfd.MultivariateNormalDiag(distribution.loc, distribution.stddev()).log_prob(z), atol=1e-9
    )


def test_full_covariance_is_correlated():
    posterior = trained(FullCovariance, dtype="float64")
    samples = posterior(features()[:1], num_samples=20000)[0][:, 0].numpy()
    chain = posterior.distribution(features()[:1]).bijector
    cholesky = chain.bijectors[0].cholesky().numpy()[0]
    scale = posterior.distribution(features()[:1]).distribution.stddev().numpy()[0]
    np.testing.assert_allclose(np.cov(samples.T), (cholesky * scale**2) @ cholesky.T, atol=0.1, rtol=0.1)


def test_steps_alternate_with_reversals():
    posterior = trained(CONSTRUCTORS["IAF, gated"])
    names = [type(step).__name__ for step in posterior.steps(tf.zeros([6, 4]))]
    flow, reverse = "InverseAutoregressiveFlow", "ReverseOrder"
    assert names == [flow, reverse, flow, reverse, flow]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: DiagonalGaussian(0), "latent_size must be a positive integer"),
        (lambda: FullCovariance(1), "use DiagonalGaussian"),
        (lambda: IAF(4, num_steps=0), "num_steps must be a positive integer"),
        (lambda: IAF(4, bijector_fn="affinity"), "Unknown bijector_fn 'affinity'"),
        (lambda: IAF(4, hidden_units=(0,)), "width in hidden_units must be a positive integer"),
        (lambda: IAF(4, context_size=-1), "context_size must be a non-negative integer"),
        (lambda: IAF(4, hidden_units=64), "must be a sequence of widths"),
        (lambda: IAF(4)(np.zeros([2, 3]), num_samples=0), "num_samples must be a positive integer"),
        (lambda: IAF(4)(np.zeros([2, 3, 4])), r"expects features of shape \[batch, size\]"),
        (lambda: IAF(4)(np.zeros([3])), r"expects features of shape \[batch, size\]"),
        (lambda: IAF(4).distribution(np.zeros([3])), r"expects features of shape \[batch, size\]"),
        (lambda: IAF(4).log_prob(np.zeros([2, 3]), np.zeros([2, 5])), r"expects z of shape \[\.\.\., 4\]"),
    ],
)
def test_bad_arguments_raise_one_line(function, message):
    with pytest.raises(ValueError, match=message) as error:
        function()
    assert "\n" not in str(error.value)
