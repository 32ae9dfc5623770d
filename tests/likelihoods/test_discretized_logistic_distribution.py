import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf.likelihoods._discretized_logistic_distribution import DiscretizedLogisticDistribution

tfd = tfp.distributions

LEVELS = np.arange(256.0)
LOCATIONS = np.linspace(-5.0, 6.0, 45)
LOG_SCALES = np.linspace(-12.0, 5.0, 35)


def grid(dtype, locations=LOCATIONS, log_scales=LOG_SCALES):
    """All pairs of the parameters, each in one vector."""
    loc, log_scale = (a.ravel() for a in np.meshgrid(locations, log_scales))
    return tf.constant(loc, dtype), tf.constant(log_scale, dtype)


@pytest.mark.parametrize(("dtype", "atol"), [("float32", 1e-5), ("float64", 1e-9)])
def test_sums_to_one(dtype, atol):
    prob = DiscretizedLogisticDistribution(*grid(dtype)).prob(tf.constant(LEVELS[:, None], dtype))
    np.testing.assert_allclose(np.sum(prob, axis=0, dtype=np.float64), 1.0, atol=atol)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_gradients_are_finite(dtype, jit_compile):
    loc, log_scale = grid(dtype)

    @tf.function(jit_compile=jit_compile)
    def log_prob_and_gradients():
        with tf.GradientTape() as tape:
            tape.watch([loc, log_scale])
            log_prob = DiscretizedLogisticDistribution(loc, log_scale).log_prob(tf.constant(LEVELS[:, None], dtype))
        return log_prob, *tape.gradient(log_prob, [loc, log_scale])

    for values in log_prob_and_gradients():
        assert np.isfinite(values).all()
        assert np.abs(values).max() > 1.0


def test_extreme_scales():
    log_scale = tf.constant([-80.0, 40.0])
    with tf.GradientTape() as tape:
        tape.watch(log_scale)
        log_prob = DiscretizedLogisticDistribution(0.25, log_scale).log_prob(tf.constant([[0.0], [63.0], [200.0], [255.0]]))
    assert np.isfinite(log_prob).all()
    assert np.isfinite(tape.gradient(log_prob, log_scale)).all()


def test_equals_tfp_s_quantized_logistic_where_that_is_accurate():
    loc, log_scale = grid("float64", np.linspace(-0.2, 1.2, 15), np.linspace(-4.0, 1.0, 11))
    # QuantizedDistribution rounds up, to the levels 0 to 255.
    quantized = tfd.QuantizedDistribution(tfd.Logistic(256.0 * loc - 1.0, 256.0 * tf.exp(log_scale)), low=0.0, high=255.0)
    levels = tf.constant(LEVELS[:, None])
    prob = DiscretizedLogisticDistribution(loc, log_scale).prob(levels)
    np.testing.assert_allclose(prob, quantized.prob(levels), rtol=1e-8, atol=1e-14)


def test_gradients_equal_differences():
    loc, log_scale = grid("float64", np.linspace(-0.5, 1.5, 9), np.linspace(-5.0, 3.0, 9))
    levels = tf.constant([[0.0], [1.0], [100.0], [254.0], [255.0]], tf.float64)
    _, gradients = tfp.math.value_and_gradient(
        lambda *p: DiscretizedLogisticDistribution(*p).log_prob(levels), [loc, log_scale]
    )
    h = 1e-6
    for gradient, (by_loc, by_scale) in zip(gradients, [(h, 0.0), (0.0, h)]):
        above = DiscretizedLogisticDistribution(loc + by_loc, log_scale + by_scale).log_prob(levels)
        below = DiscretizedLogisticDistribution(loc - by_loc, log_scale - by_scale).log_prob(levels)
        np.testing.assert_allclose(gradient, tf.reduce_sum((above - below) / (2 * h), axis=0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mean_and_mode_equal_those_of_the_table(dtype):
    distribution = DiscretizedLogisticDistribution(*grid(dtype))
    prob = distribution.prob(tf.constant(LEVELS[:, None], dtype)).numpy()
    np.testing.assert_allclose(distribution.mean(), (prob.astype(np.float64) * LEVELS[:, None]).sum(axis=0), atol=2e-3)
    # Ties by symmetry: the mode's probability is the largest, whichever level has it.
    np.testing.assert_allclose(distribution.prob(distribution.mode()), prob.max(axis=0), rtol=1e-5)
    assert distribution.mean().dtype == distribution.mode().dtype == dtype


def test_samples_follow_the_probabilities():
    loc, log_scale = tf.constant([0.02, 0.5, 0.9]), tf.constant([-3.0, -4.5, -2.0])
    distribution = DiscretizedLogisticDistribution(loc, log_scale)
    samples = distribution.sample(20000, seed=[1, 2]).numpy()
    np.testing.assert_array_equal(samples, distribution.sample(20000, seed=[1, 2]))
    assert set(np.unique(samples)) <= set(LEVELS)
    for k in range(3):
        expected = distribution.prob(LEVELS[:, None].astype(np.float32))[:, k].numpy()
        counts = np.bincount(samples[:, k].astype(int), minlength=256)
        frequencies = counts / len(samples)
        # Five standard errors of a frequency, of 768.
        assert (np.abs(frequencies - expected) <= 5.0 * np.sqrt(expected / len(samples)) + 1e-4).all()
        standard_error = float(samples[:, k].std()) / np.sqrt(len(samples))
        assert samples[:, k].mean() == pytest.approx(float(distribution.mean()[k]), abs=5.0 * standard_error)


def test_shapes_broadcast_and_slice():
    distribution = DiscretizedLogisticDistribution(tf.zeros([4, 1]), tf.zeros([3]))
    assert distribution.batch_shape == [4, 3]
    assert distribution.event_shape == []
    for values in (distribution.mean(), distribution.mode(), distribution.sample(seed=1), distribution.log_prob(7.0)):
        assert values.shape == [4, 3]
    assert distribution.sample([2, 5], seed=1).shape == [2, 5, 4, 3]
    assert distribution[1].batch_shape == [3]
    assert distribution.copy(loc=0.5).batch_shape == [3]
    independent = tfd.Independent(distribution, reinterpreted_batch_ndims=1)
    assert independent.log_prob(tf.zeros([4, 3])).shape == [4]


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_mean_and_mode(dtype, jit_compile):
    loc, log_scale = grid(dtype, np.linspace(0.0, 1.0, 3), np.linspace(-4.0, 0.0, 3))

    @tf.function(jit_compile=jit_compile)
    def compiled():
        distribution = DiscretizedLogisticDistribution(loc, log_scale)
        return distribution.mean(), distribution.mode()

    distribution = DiscretizedLogisticDistribution(loc, log_scale)
    for values, expected in zip(compiled(), (distribution.mean(), distribution.mode())):
        np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.parametrize("value", [0.5, -1.0, 256.0])
def test_values_are_checked_on_request(value):
    levels = np.array([0, 255], np.uint8)
    plain, checking = (DiscretizedLogisticDistribution(0.5, -2.0, validate_args=checks) for checks in (False, True))
    np.testing.assert_array_equal(checking.log_prob(levels), plain.log_prob(levels))
    with pytest.raises(tf.errors.InvalidArgumentError, match="integer from 0 to 255"):
        DiscretizedLogisticDistribution(0.5, -2.0, validate_args=True).log_prob(value)
