import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf.posteriors._noise import standard_normal


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_same_numbers_in_eager_graph_and_xla(dtype):
    def draw(seed):
        return standard_normal([1000], seed, dtype)

    for seed in ([0, 1], [7, 3]):
        seed = tf.constant(seed)
        for compiled in (tf.function(draw), tf.function(draw, jit_compile=True)):
            np.testing.assert_allclose(compiled(seed), draw(seed), atol=1e-5)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_is_standard_normal(dtype):
    draws = np.sort(standard_normal([200000], [0, 1], dtype).numpy())
    # Kolmogorov-Smirnov distance, whose 0.1% quantile is 1.95 / sqrt(n).
    cdf = 0.5 + 0.5 * tf.math.erf(draws / np.sqrt(2.0)).numpy()
    assert np.abs(cdf - np.linspace(0.0, 1.0, len(draws))).max() < 1.95 / np.sqrt(len(draws))
    assert 4.0 < np.abs(draws).max() < 6.0
    assert np.isfinite(draws).all()


def test_seeds_give_unrelated_noise():
    first, second = (standard_normal([100000], [0, seed]).numpy() for seed in (1, 2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02
