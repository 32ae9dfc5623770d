import keras
import numpy as np
import pytest
import tensorflow_probability as tfp

from tests import properties
from tfp_iaf import VAE, evaluation
from tfp_iaf.posteriors import IAF, DiagonalGaussian

tfd = tfp.distributions


def model_and_data(posterior=None):
    keras.utils.set_random_seed(0)
    model = VAE(keras.layers.Dense(8), posterior or IAF(3, hidden_units=(12,), seed=0), keras.layers.Dense(6))
    model.build((None, 6))
    properties.randomize(model, scale=0.3)
    return model, (np.random.default_rng(0).random([23, 6]) < 0.5).astype(np.uint8)


def test_equals_the_naive_average_of_the_weights():
    model, x = model_and_data()
    values, errors = evaluation.log_likelihood(model, x, num_samples=100, return_standard_error=True, verbose=False)
    bound = evaluation.elbo(model, x, num_samples=100, verbose=False)
    # One chunk: the noise of its seed.
    terms = model.elbo_terms(x, num_samples=100, seed=[0, 0])
    for i in range(len(x)):
        log_w = np.array([float(terms["reconstruction"][s, i]) - float(terms["kl"][s, i]) for s in range(100)])
        w = np.exp(log_w)
        assert values[i] == pytest.approx(np.log(w.mean()), abs=1e-4)
        assert errors[i] == pytest.approx(w.std(ddof=1) / np.sqrt(100) / w.mean(), rel=1e-3)
        assert bound[i] == pytest.approx(log_w.mean(), abs=1e-4)


def test_standard_error_is_the_spread_of_repeated_estimates():
    model, x = model_and_data()
    repeats = [
        evaluation.log_likelihood(model, x[:4], num_samples=400, seed=seed, return_standard_error=True, verbose=False)
        for seed in range(40)
    ]
    spread = np.std([values for values, _ in repeats], axis=0)
    stated = np.mean([errors for _, errors in repeats], axis=0)
    np.testing.assert_allclose(stated, spread, rtol=0.4)


def test_known_log_likelihood():
    """A decoder that ignores z: log p(x) is the likelihood itself, exactly, when q is the prior."""
    decoder = keras.layers.Dense(6, kernel_initializer="zeros", bias_initializer="ones")
    posterior = DiagonalGaussian(2)
    model = VAE(keras.layers.Dense(8), posterior, decoder)
    model.build((None, 6))
    posterior.base_layer.set_weights([np.zeros([8, 4]), np.zeros(4)])
    x = np.array([[1, 1, 1, 0, 0, 0]])
    expected = -3 * np.log1p(np.exp(-1.0)) - 3 * np.log1p(np.exp(1.0))
    values, errors = evaluation.log_likelihood(model, x, num_samples=64, verbose=False, return_standard_error=True)
    np.testing.assert_allclose(values, [expected], atol=1e-4)
    np.testing.assert_allclose(errors, [0.0], atol=1e-4)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_chunking_is_compiled_once_and_covers_every_sample_and_example(jit_compile):
    model, x = model_and_data()
    traces, original = [], model.elbo_terms

    def counted(*args, **kwargs):
        traces.append(kwargs["num_samples"])
        return original(*args, **kwargs)

    model.elbo_terms = counted
    # 23 examples by 5, 50 samples by 8: both have a remainder.
    values = evaluation.log_likelihood(
        model, x, num_samples=50, batch_size=5, max_rows=40, verbose=False, jit_compile=jit_compile
    )
    assert values.shape == (23,)
    assert len(traces) == 1
    assert traces[0] * 5 <= 40
    assert np.isfinite(values).all()


def test_same_seed_same_estimate():
    model, x = model_and_data()
    first, again, other = (evaluation.log_likelihood(model, x, seed=seed, verbose=False) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_progress_bar(capsys):
    model, x = model_and_data()
    evaluation.log_likelihood(model, x, num_samples=4)
    assert "1/1" in capsys.readouterr().out
    evaluation.log_likelihood(model, x, num_samples=4, verbose=False)
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("x", "kwargs", "message"),
    [
        (np.zeros([0, 6]), {}, "at least one example"),
        (np.zeros([6]), {}, "at least one example"),
        (np.full([2, 6], np.nan), {}, "NaN"),
        (np.full([2, 6], 0.5), {}, "0 or 1"),
        (np.zeros([2, 6]), {"num_samples": 1, "return_standard_error": True}, "at least two samples"),
        (np.zeros([2, 6]), {"num_samples": 0}, "num_samples must be a positive integer"),
        (np.zeros([2, 6]), {"batch_size": -1}, "batch_size must be a positive integer"),
        (np.zeros([2, 5]), {}, "examples of shape"),
    ],
)
def test_bad_arguments(x, kwargs, message):
    model, _ = model_and_data()
    with pytest.raises(ValueError, match=message):
        evaluation.log_likelihood(model, x, verbose=False, **kwargs)


def test_mean_and_standard_error():
    assert evaluation.mean_and_standard_error([0.0, 2.0, 4.0]) == pytest.approx((2.0, 2.0 / np.sqrt(3)))
    with pytest.raises(ValueError, match="at least two"):
        evaluation.mean_and_standard_error([1.0])


def test_bits_per_dim():
    log_likelihood = np.array([-12 * np.log(256.0), -12 * np.log(2.0), 0.0])
    np.testing.assert_allclose(evaluation.bits_per_dim(log_likelihood, (2, 2, 3)), [8.0, 1.0, 0.0])
    # Equal logits over 256 levels.
    uniform = tfd.Independent(tfd.Categorical(logits=np.zeros([32, 32, 3, 256])), reinterpreted_batch_ndims=3)
    assert evaluation.bits_per_dim(uniform.log_prob(np.zeros([32, 32, 3])), (32, 32, 3)) == pytest.approx(8.0)
    for shape in ((0, 3), (2.5,), (None, 3)):
        with pytest.raises(ValueError, match="data_shape must be a positive integer"):
            evaluation.bits_per_dim(0.0, shape)
