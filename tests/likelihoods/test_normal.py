import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf.likelihoods import Normal
from tfp_iaf.likelihoods.normal import standardization_hint


def test_splits_locations_and_scales():
    distribution = Normal().distribution(tf.constant([[1.0, 2.0, 0.0, 0.5]]))
    np.testing.assert_allclose(distribution.mean(), [[1.0, 2.0]])
    np.testing.assert_allclose(distribution.stddev(), [[1.0, np.exp(5.0 * np.tanh(0.1))]], rtol=1e-6)


@pytest.mark.parametrize("bound", [5.0, 2.0])
def test_scales_are_bounded(bound):
    stddev = Normal(log_scale_bound=bound).distribution(tf.constant([[0.0, 0.0, -1e6, 1e6]])).stddev()
    np.testing.assert_allclose(stddev, [[np.exp(-bound), np.exp(bound)]], rtol=1e-5)


def test_an_odd_last_axis():
    with pytest.raises(ValueError, match="must be twice that of x"):
        Normal().distribution(tf.zeros([2, 3]))


@pytest.mark.parametrize("bound", [0.0, -1.0, np.inf, "5"])
def test_a_bound_out_of_range(bound):
    with pytest.raises(ValueError, match="log_scale_bound must be a positive number"):
        Normal(log_scale_bound=bound)


@pytest.mark.parametrize(("mean", "deviation"), [(1e4, 1e4), (1e4, 1.0), (0.0, 1e3), (0.0, 1e-4)])
def test_data_on_a_raw_scale_get_a_hint(mean, deviation):
    x = mean + deviation * np.random.default_rng(0).normal(size=[100, 3])
    hint = Normal().hint(x)
    assert "standardized" in hint
    assert "\n" not in hint


@pytest.mark.parametrize("scale", [0.05, 1.0, 10.0])
def test_standardized_data_get_none(scale):
    assert standardization_hint("", scale * np.random.default_rng(0).normal(size=[100, 3])) is None
    assert standardization_hint("", np.zeros([100, 3])) is None
    assert standardization_hint("", np.ones([1, 3])) is None


def test_a_hint_looks_at_a_bounded_number_of_numbers():
    class Rows:
        """Many large rows, of which slices are read."""

        shape = (4096, 2**20)

        def __getitem__(self, rows):
            assert rows.stop == 4
            return np.full([rows.stop, 2**10], 100.0, np.float32)

    assert "standardized" in standardization_hint("Expects standardized data", Rows())
