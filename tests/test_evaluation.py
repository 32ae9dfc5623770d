import sys
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import own_models, properties
from tfp_iaf import VAE, evaluation, models, noise, serving
from tfp_iaf.posteriors import IAF, DiagonalGaussian

tfd = tfp.distributions


class Frame:
    """What a DataFrame is to NumPy."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


def model_and_data(posterior=None, scale=0.3):
    keras.utils.set_random_seed(0)
    model = VAE(keras.layers.Dense(8), posterior or IAF(3, hidden_units=(12,), seed=0), keras.layers.Dense(6))
    model.build((None, 6))
    properties.randomize(model, scale=scale)
    return model, (np.random.default_rng(0).random([23, 6]) < 0.5).astype(np.uint8)


def test_equals_the_naive_average_of_the_weights():
    model, x = model_and_data()
    values, errors, sizes = evaluation.log_likelihood(
        model, x, num_samples=100, return_standard_error=True, return_effective_sample_size=True
    )
    bound = evaluation.elbo(model, x, num_samples=100)
    # One chunk: the noise of its seed.
    seed = tf.random.experimental.stateless_fold_in(noise.seed_pair(0), 0, alg="philox")
    terms = model.elbo_terms(x, num_samples=100, seed=seed)
    for i in range(len(x)):
        log_w = np.array([float(terms["reconstruction"][s, i]) - float(terms["kl"][s, i]) for s in range(100)])
        w = np.exp(log_w)
        assert values[i] == pytest.approx(np.log(w.mean()), abs=1e-4)
        assert errors[i] == pytest.approx(w.std(ddof=1) / np.sqrt(100) / w.mean(), rel=1e-3)
        assert sizes[i] == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-3)
        assert bound[i] == pytest.approx(log_w.mean(), abs=1e-4)


def test_standard_error_is_the_spread_of_repeated_estimates():
    """Of weights without heavy tails: with the larger scale of the other tests it is about half the spread."""
    model, x = model_and_data(scale=0.1)
    repeats = [
        evaluation.log_likelihood(model, x[:4], num_samples=400, seed=seed, return_standard_error=True) for seed in range(40)
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
    values, errors = evaluation.log_likelihood(model, x, num_samples=64, return_standard_error=True)
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
    values = evaluation.log_likelihood(model, x, num_samples=50, batch_size=5, max_rows=40, jit_compile=jit_compile)
    assert values.shape == (23,)
    assert len(traces) == 1
    assert traces[0] * 5 <= 40
    assert np.isfinite(values).all()


def test_same_seed_same_estimate():
    model, x = model_and_data()
    first, again, other = (evaluation.log_likelihood(model, x, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_second_call_compiles_nothing():
    model, x = model_and_data()
    traces, original = [], model.elbo_terms

    def counted(*args, **kwargs):
        traces.append(kwargs["num_samples"])
        return original(*args, **kwargs)

    model.elbo_terms = counted
    first = evaluation.log_likelihood(model, x, num_samples=20)
    np.testing.assert_array_equal(evaluation.log_likelihood(model, x, num_samples=20), first)
    evaluation.elbo(model, x, num_samples=20)
    assert traces == [20]
    # The trained weights are read anew.
    properties.randomize(model, seed=1)
    assert (evaluation.log_likelihood(model, x, num_samples=20) != first).any()
    assert traces == [20]
    evaluation.elbo(model, x, num_samples=30)
    assert traces == [20, 30]


def test_an_evaluated_model_is_saved_and_exported(tmp_path):
    model, x = model_and_data()
    before = evaluation.elbo(model, x)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(evaluation.elbo(keras.saving.load_model(tmp_path / "model.keras"), x), before)
    serving.export(model, tmp_path / "saved")
    assert "_kept_functions" not in dir(tf.saved_model.load(str(tmp_path / "saved")))


class Batches(keras.utils.PyDataset):
    def __init__(self, batches, *of_length):
        super().__init__()
        self.batches = batches
        (self.of_length,) = of_length or (len(batches),)

    @property
    def num_batches(self):
        return self.of_length

    def __getitem__(self, index):
        return self.batches[index]


def test_all_kinds_of_data_give_the_same():
    model, x = model_and_data()
    expected = evaluation.elbo(model, x, batch_size=10)
    dataset = tf.data.Dataset.from_tensor_slices(x)

    def of_unknown_length(batch):
        return dataset.filter(lambda row: True).batch(batch)

    def generated():
        yield from np.split(x, [1, 9, 10])

    kinds = {
        "list": x.tolist(),
        "tensor": tf.constant(x),
        "DataFrame": Frame(x),
        "dataset of the same batches": dataset.batch(10),
        "small batches": dataset.batch(3),
        "large batches": dataset.batch(23),
        "tuples of one": dataset.batch(7).map(lambda row: (row,)),
        "unknown cardinality": of_unknown_length(4),
        "uneven batches": tf.data.Dataset.from_generator(generated, output_signature=tf.TensorSpec([None, 6], tf.uint8)),
        "generator": generated(),
        "generator of tuples, as fit takes them": ((batch, None) for batch in generated()),
        "PyDataset": Batches(np.split(x, [5, 18])),
    }
    for kind, data in kinds.items():
        np.testing.assert_allclose(evaluation.elbo(model, data, batch_size=10), expected, rtol=1e-5, err_msg=kind)
    # Smaller than a batch.
    np.testing.assert_allclose(
        evaluation.elbo(model, dataset.take(4).batch(2), batch_size=10), evaluation.elbo(model, x[:4], batch_size=10), rtol=1e-5
    )


def test_a_model_that_is_not_built_is_built_for_the_data():
    _, x = model_and_data()
    for data in (x, Frame(x), tf.data.Dataset.from_tensor_slices(x).batch(5), iter(np.split(x, [5]))):
        model = VAE(keras.layers.Dense(8), DiagonalGaussian(2), keras.layers.Dense(6))
        assert evaluation.elbo(model, data).shape == (23,)


def test_conditional_models():
    model = own_models.conditional_vae(IAF(2, hidden_units=(8,)))
    properties.randomize(model)
    rng = np.random.default_rng(0)
    x, condition = rng.integers(0, 2, [11, 6]), rng.normal(size=[11, 3]).astype(np.float32)
    values = evaluation.log_likelihood(model, (x, condition), batch_size=4, num_samples=32)
    assert values.shape == (11,)
    dataset = tf.data.Dataset.from_tensor_slices((x, condition)).batch(3)
    as_keras_takes_it = dataset.map(lambda *both: (both,))
    np.testing.assert_allclose(
        evaluation.log_likelihood(model, as_keras_takes_it, batch_size=4, num_samples=32), values, rtol=1e-5
    )
    np.testing.assert_allclose(
        evaluation.log_likelihood(model, (Frame(x), Frame(condition)), batch_size=4, num_samples=32),
        values,
        rtol=1e-5,
    )
    assert (np.abs(evaluation.log_likelihood(model, (x, condition + 1.0), batch_size=4, num_samples=32) - values) > 1e-3).any()
    for data, message in (
        (x, "condition"),
        ((x, condition[:5]), "rows"),
        ((x, condition[:, :2]), "conditions of shape"),
        ((x, condition, condition), r"\(x, condition\)"),
        (dataset, "takes no targets"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            evaluation.elbo(model, data)
        assert "\n" not in str(error.value)


def test_a_users_own_model():
    """Its q is the exact posterior: bound and log-likelihood are log p(x), and all weights are equal."""
    model = own_models.LinearGaussian()
    x = np.random.default_rng(0).normal(size=[9, 3]).astype(np.float32)
    values, sizes = evaluation.log_likelihood(model, x, num_samples=20, return_effective_sample_size=True)
    np.testing.assert_allclose(values, model.log_prob(x), rtol=1e-4)
    np.testing.assert_allclose(evaluation.elbo(model, x), model.log_prob(x), rtol=1e-4)
    np.testing.assert_allclose(sizes, 20.0, rtol=1e-3)


def test_a_conditional_density_has_its_exact_log_likelihood():
    model = models.ConditionalDensity(keras.layers.Dense(4), IAF(2, hidden_units=(8,)))
    y, condition = np.random.default_rng(0).normal(size=[2, 9, 2]).astype(np.float32)
    model.build(((None, 2), (None, 2)))
    properties.randomize(model)
    values, errors = evaluation.log_likelihood(model, (y, condition), num_samples=4, return_standard_error=True)
    np.testing.assert_allclose(values, model.log_prob(y, condition), rtol=1e-4)
    np.testing.assert_allclose(errors, 0.0, atol=1e-4)


def test_other_models_are_refused_in_one_line():
    with pytest.raises(TypeError, match=r"takes a models\.ElboModel.*got <Sequential") as error:
        evaluation.elbo(keras.Sequential([keras.layers.Dense(2)]), np.ones([3, 2]))
    assert "\n" not in str(error.value)


def test_threads():
    model, x = model_and_data()
    results, failures = [None] * 8, []
    start = threading.Barrier(8)

    def work(i):
        try:
            start.wait()
            results[i] = evaluation.log_likelihood(model, x, num_samples=10)
        except Exception as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_progress_bar_in_terminals_only(capsys, monkeypatch):
    model, x = model_and_data()
    evaluation.log_likelihood(model, x, num_samples=4)
    assert not capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    evaluation.log_likelihood(model, x, num_samples=4)
    assert "1/1" in capsys.readouterr().out
    evaluation.log_likelihood(model, x, num_samples=4, verbose=False)
    assert not capsys.readouterr().out


def datasets(x):
    return tf.data.Dataset.from_tensor_slices(np.asarray(x, np.float32))


@pytest.mark.parametrize(
    ("x", "kwargs", "message"),
    [
        (np.zeros([0, 6]), {}, "at least one example"),
        (np.zeros([6]), {}, "batches of examples"),
        (datasets(np.zeros([4, 6])), {}, "shape"),
        (datasets(np.zeros([4, 6])).unbatch(), {}, "batch"),
        (datasets(np.zeros([4, 6])).batch(2).repeat(), {}, "repeats without end"),
        (datasets(np.full([4, 6], 0.5)).batch(2), {}, "0 or 1"),
        (datasets(np.zeros([4, 6])).batch(2).take(0), {}, "at least one example"),
        (tf.data.Dataset.from_tensor_slices((np.zeros([4, 6]), np.zeros([4]))).batch(2), {}, "targets"),
        ((np.zeros([2, 6]), np.zeros([2, 3])), {}, "no condition"),
        (iter([(np.zeros([2, 6]), None, np.ones([2]))]), {}, "leave the weights out"),
        (iter([(np.zeros([2, 6]), np.ones([2]))]), {}, "takes no targets"),
        (iter([np.zeros([2, 6]), np.zeros([2, 5])]), {}, "examples of shape"),
        (Batches([], None), {}, "has no end"),
        (np.zeros([2, 6]), {"seed": 1.5}, "seed"),
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
        evaluation.log_likelihood(model, x, **kwargs)


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
