import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf.noise import SeededLayer, gaussian_log_prob, seed_pair, standard_normal, uniform


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


def test_gaussian_log_prob_equals_the_formula():
    noise, scale = np.array([-1.0, 2.0]), np.array([0.5, 3.0])
    expected = -0.5 * np.log(2.0 * np.pi * scale**2) - 0.5 * noise**2
    np.testing.assert_allclose(gaussian_log_prob(tf.constant(noise), tf.constant(scale)), expected)


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (7, [0, 7]),
        (-1, [0, -1]),
        (np.int64(7), [0, 7]),
        ([3, 4], [3, 4]),
        ((3, np.int32(4)), [3, 4]),
        (np.array([3, 4]), [3, 4]),
        (np.array([0, 2**32 - 1], np.uint32), [0, -1]),
        ([2**31 - 1, -(2**31)], [2**31 - 1, -(2**31)]),
        (tf.constant([3, 4]), [3, 4]),
        (tf.constant(5), [0, 5]),
        (tf.constant([3, 4], tf.int64), [3, 4]),
        (tf.constant([0, 2**32 - 1], tf.uint32), [0, -1]),
        ([tf.constant(3), 4], [3, 4]),
    ],
    ids=repr,
)
def test_integers_and_pairs_are_seeds(seed, expected):
    pair = seed_pair(seed)
    assert pair.dtype == tf.int32
    assert pair.shape == [2]
    np.testing.assert_array_equal(pair, expected)


def test_traced_seeds_pass():
    for spec, seed in {
        tf.TensorSpec([2], tf.int32): [3, 4],
        tf.TensorSpec([], tf.int32): 4,
        tf.TensorSpec([2], tf.int64): [3, 4],
        tf.TensorSpec([2], tf.uint32): [3, 4],
        tf.TensorSpec(None, tf.int32): [3, 4],
    }.items():
        traced = tf.function(seed_pair, input_signature=[spec])
        np.testing.assert_array_equal(traced(tf.constant(seed, spec.dtype)), seed_pair(seed))


@pytest.mark.parametrize(
    "seed",
    [
        1.5,
        [1.5, 2.5],
        2**40,
        [0, 2**40],
        2**80,
        np.array([0, 2**31]),
        tf.constant([0, 2**40], tf.int64),
        tf.constant([0.0, 1.0]),
        [tf.constant(0.5), 1],
        [1],
        [1, 2, 3],
        [[1, 2], [3, 4]],
        [[1], [2, 3]],
        tf.constant([1, 2, 3]),
        "seven",
        True,
        None,
    ],
    ids=repr,
)
def test_anything_else_is_refused_in_one_line(seed):
    with pytest.raises(ValueError, match=r"seed must be an integer or a pair of integers") as error:
        seed_pair(seed)
    assert "\n" not in str(error.value)


def test_a_seeded_layer_starts_from_its_seed_and_goes_on():
    first, again, other = ([layer.next_seed().numpy().tolist() for _ in range(3)] for layer in map(SeededLayer, (1, 1, 2)))
    assert first == again
    assert first != other
    assert len(set(map(tuple, first))) == 3
    np.testing.assert_array_equal(SeededLayer(1).next_seed([3, 4]), [3, 4])


@pytest.mark.parametrize("seed", [1.5, -1, 2**32, "seven", True])
def test_bad_seeds_of_a_layer(seed):
    with pytest.raises(ValueError, match=r"seed must be") as error:
        SeededLayer(seed)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("draw", [standard_normal, uniform])
def test_other_dtypes_are_refused(draw):
    with pytest.raises(ValueError, match=r"float32 or float64, got dtype float16: cast them"):
        draw([2], seed_pair(0), "float16")
    assert draw([2], seed_pair(0), "float64").dtype == tf.float64
