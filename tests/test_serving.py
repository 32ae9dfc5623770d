import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import own_models, properties
from tfp_iaf import VAE, bijectors, likelihoods, models, objectives, serving
from tfp_iaf.posteriors import IAF, DiagonalGaussian, FullCovariance, Posterior

tfd = tfp.distributions
OF_NOISE = {"encode_from_noise", "elbo_from_noise"}
TASKS = {"encode", "encode_mean", "decode", "sample", "elbo", "posterior_log_prob", "log_likelihood", *OF_NOISE}

POSTERIORS = {
    "diagonal": lambda: DiagonalGaussian(3),
    "full covariance": lambda: FullCovariance(3),
    "IAF": lambda: IAF(3, hidden_units=(12, 12)),
}


def model_and_data(posterior):
    keras.utils.set_random_seed(0)
    model = VAE(keras.layers.Dense(8, "elu"), posterior(), keras.layers.Dense(6))
    model.build((None, 6))
    properties.randomize(model)
    return model, (np.random.default_rng(0).random([7, 6]) < 0.5).astype(np.float32)


def exported(model, folder):
    """The model as it is served."""
    serving.export(model, folder / "saved", overwrite=True)
    return tf.saved_model.load(str(folder / "saved"))


def tasks_of(loaded):
    return {name for name in loaded.signatures if name != "serving_default"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def served(folder):
    """(a VAE with an IAF, data for it, the VAE as it is served): an export takes seconds."""
    model, x = model_and_data(POSTERIORS["IAF"])
    return model, x, exported(model, folder)


@pytest.mark.long
@pytest.mark.parametrize("posterior", ["diagonal", "full covariance"])
def test_signatures_equal_the_model(posterior, tmp_path):
    model, x = model_and_data(POSTERIORS[posterior])
    check_signatures(model, x, exported(model, tmp_path))


def test_signatures_equal_the_model_with_an_iaf(served):
    check_signatures(*served)


def check_signatures(model, x, loaded):
    assert tasks_of(loaded) == TASKS
    seed = tf.constant([4, 2])
    for rows in (1, 7):  # Any batch size.
        z, log_q = model.posterior_sample(x[:rows], seed=seed)
        encoded = loaded.encode(x[:rows], seed)
        np.testing.assert_allclose(encoded["z"], z, atol=1e-5)
        np.testing.assert_allclose(encoded["log_q"], log_q, atol=1e-5)
        np.testing.assert_allclose(loaded.posterior_log_prob(x[:rows], z)["log_prob"], log_q, atol=1e-4)
        np.testing.assert_allclose(loaded.decode(z)["parameters"], model.decode(z), atol=1e-5)
        np.testing.assert_allclose(loaded.decode(z)["mean"], tf.sigmoid(model.decode(z)), atol=1e-5)
    noise = np.random.default_rng(1).normal(size=[7, 3]).astype(np.float32)
    z, log_q = model.posterior_sample(x, noise=noise)
    at_noise = loaded.encode_from_noise(x, noise)
    np.testing.assert_allclose(at_noise["z"], z, atol=1e-5)
    np.testing.assert_allclose(at_noise["log_q"], loaded.posterior_log_prob(x, z)["log_prob"], atol=1e-4)
    np.testing.assert_allclose(loaded.encode_mean(x)["z"], loaded.encode_from_noise(x, 0.0 * noise)["z"], atol=1e-6)
    np.testing.assert_allclose(loaded.encode_mean(x)["z"], model.encode_mean(x), atol=1e-6)
    terms, served = model.elbo_terms(x, noise=noise), loaded.elbo_from_noise(x, noise)
    for name in ("kl", "reconstruction"):
        np.testing.assert_allclose(served[name], terms[name][0], atol=1e-4)
    # No rows, and the first rows alone.
    assert loaded.encode(x[:0], seed)["z"].shape == (0, 3)
    assert loaded.elbo(x[:0], seed)["elbo"].shape == loaded.posterior_log_prob(x[:0], z[:0])["log_prob"].shape == (0,)
    for name in ("encode", "elbo"):
        for output, value in getattr(loaded, name)(x, seed).items():
            np.testing.assert_allclose(getattr(loaded, name)(x[:3], seed)[output], value[:3], atol=1e-5)
    np.testing.assert_allclose(loaded.sample(5, seed)["mean"], model.sample(5, seed), atol=1e-5)
    terms = model.elbo_terms(x, seed=seed)
    served = loaded.signatures["elbo"](x=tf.constant(x), seed=seed)
    np.testing.assert_allclose(served["elbo"], (terms["reconstruction"] - terms["kl"])[0], atol=1e-4)
    log_weights = []
    for index in range(8):
        terms = model.elbo_terms(x, seed=tf.random.experimental.stateless_fold_in(seed, index, alg="philox"))
        log_weights.append((terms["reconstruction"] - terms["kl"])[0])
    expected = objectives.importance_weighted_bound(tf.stack(log_weights))
    np.testing.assert_allclose(loaded.log_likelihood(x, 8, seed)["log_likelihood"], expected, atol=1e-4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least 1"):
        loaded.log_likelihood(x, 0, seed)


def test_seeds_are_inputs(served):
    _, x, loaded = served
    first, again, other = (loaded.encode(x, tf.constant([0, s]))["z"] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-2


def test_inputs_have_the_names_of_the_documentation(served):
    _, x, loaded = served
    seed = tf.constant([0, 1])
    named = {name: set(loaded.signatures[name].structured_input_signature[1]) for name in TASKS}
    assert named == {
        "encode": {"x", "seed"},
        "decode": {"z"},
        "sample": {"num_samples", "seed"},
        "encode_from_noise": {"x", "noise"},
        "elbo_from_noise": {"x", "noise"},
        "encode_mean": {"x"},
        "elbo": {"x", "seed"},
        "posterior_log_prob": {"x", "z"},
        "log_likelihood": {"x", "num_samples", "seed"},
    }
    # In order, and by name.
    z = loaded.encode(x=x, seed=seed)["z"]
    np.testing.assert_array_equal(z, loaded.encode(x, seed)["z"])
    np.testing.assert_array_equal(loaded.decode(z=z)["mean"], loaded.decode(z)["mean"])
    assert loaded.sample(num_samples=3, seed=seed)["mean"].shape == (3, 6)


def test_conditional_models(tmp_path):
    model = own_models.conditional_vae(FullCovariance(2))
    properties.randomize(model)
    rng = np.random.default_rng(0)
    x, condition = rng.integers(0, 2, [7, 6]).astype(np.float32), rng.normal(size=[7, 3]).astype(np.float32)
    loaded, seed = exported(model, tmp_path), tf.constant([4, 2])
    assert tasks_of(loaded) == TASKS
    for name in TASKS:
        assert "condition" in loaded.signatures[name].structured_input_signature[1]
    z, log_q = model.posterior_sample((x, condition), seed=seed)
    encoded = loaded.encode(x, seed, condition)
    np.testing.assert_allclose(encoded["z"], z, atol=1e-5)
    np.testing.assert_allclose(loaded.posterior_log_prob(x, z, condition)["log_prob"], log_q, atol=1e-4)
    np.testing.assert_allclose(loaded.decode(z, condition)["mean"], model.mean(z, condition), atol=1e-5)
    terms = model.elbo_terms((x, condition), seed=seed)
    np.testing.assert_allclose(loaded.elbo(x, seed, condition)["kl"], terms["kl"][0], atol=1e-4)
    assert loaded.log_likelihood(x, 3, seed, condition)["log_likelihood"].shape == (7,)
    # A row for each sample, or one that all share.
    for rows in (condition, condition[:1]):
        np.testing.assert_allclose(loaded.sample(7, seed, rows)["mean"], model.sample(7, seed, condition=rows), atol=1e-5)
    bad = np.array(condition)
    bad[2] = np.nan
    assert np.isnan(loaded.elbo(x, seed, bad)["elbo"]).tolist() == [i == 2 for i in range(7)]


@pytest.mark.parametrize(
    ("likelihood", "outputs", "good", "bad"),
    [
        ("bernoulli", 6, 1.0, 0.5),
        pytest.param("discretized_logistic", 12, 255.0, 0.25, marks=pytest.mark.long),
        pytest.param("normal", 12, 0.3, np.inf, marks=pytest.mark.long),
    ],
)
def test_data_out_of_range_give_nan(likelihood, outputs, good, bad, tmp_path):
    model = VAE(keras.layers.Dense(8), DiagonalGaussian(2), keras.layers.Dense(outputs), likelihood)
    model.build((None, 6))
    loaded, seed = exported(model, tmp_path), tf.constant([0, 1])
    x = np.full([3, 6], good, np.float32)
    z = loaded.encode(x, seed)["z"]
    assert np.isfinite(z).all()
    x[1, 4] = bad
    outputs = {
        **loaded.encode(x, seed),
        **loaded.elbo(x, seed),
        **loaded.posterior_log_prob(x, z),
        **loaded.log_likelihood(x, 2, seed),
    }
    assert len(outputs) == 7
    for name, value in outputs.items():
        is_nan = np.isnan(np.reshape(value, [3, -1]))
        assert is_nan.any(axis=1).tolist() == is_nan.all(axis=1).tolist() == [False, True, False], name


class WithoutInverse(bijectors.FlowBijector):
    """z = sinh(y), which a user gave no inverse."""

    def __init__(self):
        super().__init__(forward_min_event_ndims=1, parameters={}, name="without_inverse")

    def forward_and_log_det(self, y):
        return tf.sinh(y), tf.reduce_sum(tf.math.log(tf.cosh(y)), axis=-1)


class SinhPosterior(Posterior):
    def flows(self, flow_inputs):
        return [WithoutInverse()]


def test_a_posterior_without_an_inverse_leaves_out_its_density_of_given_latents(tmp_path):
    model = VAE(keras.layers.Dense(8), SinhPosterior(2), keras.layers.Dense(6))
    model.build((None, 6))
    loaded = exported(model, tmp_path)
    assert tasks_of(loaded) == TASKS - {"posterior_log_prob"}
    assert loaded.sample(2, [0, 1])["mean"].shape == (2, 6)


def quantized(loc):
    return tfd.Independent(tfd.QuantizedDistribution(tfd.Normal(loc, 1.0)), 1)


def test_a_likelihood_without_a_mean_gives_its_parameters(tmp_path):
    model = VAE(keras.layers.Dense(8), DiagonalGaussian(2), keras.layers.Dense(6), likelihood=quantized)
    model.build((None, 6))
    loaded, seed = exported(model, tmp_path), tf.constant([0, 1])
    assert tasks_of(loaded) == TASKS
    samples = loaded.sample(3, seed)
    assert set(samples) == {"z", "parameters"}
    np.testing.assert_allclose(samples["parameters"], loaded.decode(samples["z"])["parameters"], atol=1e-5)
    assert set(loaded.decode(samples["z"])) == {"parameters"}


def test_a_users_own_model(tmp_path):
    x, seed = np.random.default_rng(0).normal(size=[5, 3]).astype(np.float32), tf.constant([0, 1])
    model = own_models.LinearGaussian()
    model.build((None, 3))
    loaded = exported(model, tmp_path)
    assert tasks_of(loaded) == {"elbo", "log_likelihood"}
    np.testing.assert_allclose(loaded.elbo(x, seed)["elbo"], model.log_prob(x), rtol=1e-4)
    model = own_models.WholeLinearGaussian()
    model.build((None, 3))
    loaded = exported(model, tmp_path)
    assert tasks_of(loaded) == TASKS - {"posterior_log_prob", "encode_mean", *OF_NOISE}
    np.testing.assert_allclose(loaded.log_likelihood(x, 4, seed)["log_likelihood"], model.log_prob(x), rtol=1e-4)
    samples = loaded.sample(4, seed)
    np.testing.assert_allclose(samples["mean"], samples["z"] @ own_models.LOADINGS.T, rtol=1e-4)


def test_what_fails_in_a_graph_is_not_left_out_without_a_word(tmp_path):
    class WithNumpy(own_models.WholeLinearGaussian):
        def decode(self, z, condition=None, training=False):
            return tf.constant(np.asarray(z) @ own_models.LOADINGS.T)

    model = WithNumpy()
    model.build((None, 3))
    with pytest.raises(NotImplementedError, match="NumPy"):
        serving.export(model, tmp_path / "saved")
    assert not list(tmp_path.iterdir())


def masked_products(function):
    """The operations of a graph, and of all that it calls, which multiply a weight by a constant or a comparison."""
    graphs = [function.graph.as_graph_def()]
    nodes = [*graphs[0].node, *(node for each in graphs[0].library.function for node in each.node_def)]
    by_name = {node.name: node for node in nodes}
    products = []
    for node in nodes:
        if node.op == "Mul":
            sources = {by_name[name.split(":")[0]].op for name in node.input if name.split(":")[0] in by_name}
            is_masked = "ReadVariableOp" in sources and sources & {"Const", "Cast"}
            products += [node.name] if is_masked else []
    return products


def test_masks_are_folded_into_the_weights(tmp_path):
    model, x = model_and_data(lambda: IAF(3, num_flows=1, hidden_units=(12, 12)))
    # As a norm clip or a load might leave it.
    layer = next(each for each in model.posterior.networks[0].hidden_layers)
    layer.load_own_variables({"0": np.ones(layer.kernel.shape, np.float32), "1": layer.bias.numpy()})
    concrete = tf.function(model.encode_mean).get_concrete_function(tf.TensorSpec([None, 6]))
    assert masked_products(concrete), "the test can see masks"
    expected = model.encode_mean(x)
    loaded = exported(model, tmp_path)
    for name in ("encode", "encode_from_noise", "posterior_log_prob", "elbo"):
        assert not masked_products(loaded.signatures[name]), name
    np.testing.assert_allclose(loaded.encode_mean(x)["z"], expected, atol=1e-6)
    np.testing.assert_allclose(model.encode_mean(x), expected, atol=1e-6)


def test_a_users_exact_density_with_a_table(tmp_path):
    class Gaussian(models.ElboModel):
        has_latents = False
        traces = 0

        def __init__(self):
            super().__init__()
            self.places = keras.layers.IntegerLookup(vocabulary=[3, 5])

        def log_prob(self, x):
            self.traces += tf.inside_function()
            z = tf.cast(self.places(tf.cast(x, tf.int64)), tf.float32)
            return tfd.MultivariateNormalDiag(tf.zeros([3]), tf.ones([3])).log_prob(z)

        def sample(self, num_samples, seed):
            return tf.random.stateless_uniform([num_samples, 3], seed)

        def elbo_terms(self, x, num_samples=1, seed=None, training=None):
            raise NotImplementedError

    model = Gaussian()
    model.set_shapes((None, 3))
    model.built = True
    loaded, x = exported(model, tmp_path), np.array([[3, 5, 3], [5, 5, 4]], np.float32)
    assert tasks_of(loaded) == {"log_prob", "sample"}
    assert model.traces == 1
    np.testing.assert_allclose(loaded.sample(2, [0, 1])["x"], model.sample(2, [0, 1]))
    np.testing.assert_allclose(loaded.log_prob(x)["log_prob"], model.log_prob(x))


def test_conditional_densities(tmp_path):
    model = models.ConditionalDensity(keras.layers.Dense(8), IAF(2, hidden_units=(8,)))
    model.build(((None, 2), (None, 3)))
    properties.randomize(model)
    rng = np.random.default_rng(0)
    y, condition = rng.normal(size=[5, 2]).astype(np.float32), rng.normal(size=[5, 3]).astype(np.float32)
    loaded, seed = exported(model, tmp_path), tf.constant([0, 1])
    assert tasks_of(loaded) == {"log_prob", "sample"}
    np.testing.assert_allclose(loaded.log_prob(y, condition)["log_prob"], model.log_prob(y, condition), atol=1e-4)
    samples = loaded.sample(4, seed, condition)["y"]
    assert samples.shape == (4, 5, 2)
    np.testing.assert_allclose(samples, model.sample(4, seed, condition=condition), atol=1e-5)
    y[3, 1] = np.nan
    assert np.isnan(loaded.log_prob(y, condition)["log_prob"]).tolist() == [False, False, False, True, False]


def test_eight_threads_on_one_served_model(served):
    _, x, loaded = served
    failures, start = [], threading.Barrier(8)

    def answers(rows, seed):
        z = loaded.encode(x[:rows], seed)
        return [
            z["z"],
            loaded.posterior_log_prob(x[:rows], z["z"])["log_prob"],
            loaded.sample(rows, seed)["mean"],
            loaded.log_likelihood(x[:rows], 3, seed)["log_likelihood"],
        ]

    expected = {i: answers(1 + i % 4, tf.constant([0, i])) for i in range(8)}

    def work(i):
        try:
            start.wait()
            for _ in range(20):
                for ours, alone in zip(answers(1 + i % 4, tf.constant([0, i])), expected[i]):
                    np.testing.assert_allclose(ours, alone, rtol=1e-5, atol=1e-6)
        except Exception as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


def test_other_models_are_refused_in_one_line(tmp_path):
    with pytest.raises(TypeError, match=r"Only a models\.ElboModel can be exported, got <Sequential"):
        serving.export(keras.Sequential([keras.layers.Dense(2)]), tmp_path / "saved")
    assert not list(tmp_path.iterdir())


def test_loads_in_a_process_with_tensorflow_alone(served, folder):
    script = f"""
import sys
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow_probability", "tfp_iaf", "tf_keras"):
            raise ImportError(name)
sys.meta_path.insert(0, Forbidden())
import tensorflow as tf
loaded = tf.saved_model.load({str(folder / "saved")!r})
print(loaded.sample(4, tf.constant([0, 1]))["mean"].shape)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "(4, 6)", result.stderr[-2000:]


def test_nothing_half_written(tmp_path, monkeypatch):
    model, x = model_and_data(POSTERIORS["diagonal"])
    with pytest.raises(ValueError, match="not built"):
        serving.export(VAE(keras.layers.Dense(8), DiagonalGaussian(2), keras.layers.Dense(6)), tmp_path / "unbuilt")
    with pytest.raises(ValueError, match=r"a folder, got the name of a file, .* leave out the ending \.keras"):
        serving.export(model, tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())
    serving.export(model, tmp_path / "saved")
    with pytest.raises(ValueError, match="overwrite=True"):
        serving.export(model, tmp_path / "saved")
    mode = (tmp_path / "saved").stat().st_mode & 0o777
    (tmp_path / "plain").mkdir()
    assert mode == (tmp_path / "plain").stat().st_mode & 0o777
    (tmp_path / "plain").rmdir()
    serving.export(model, tmp_path / "saved", overwrite=True)
    monkeypatch.setattr(tf.saved_model, "save", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        serving.export(model, tmp_path / "saved", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    assert loaded.encode(x, tf.constant([0, 1]))["z"].shape == (7, 3)


def test_an_export_says_that_it_cannot_ask_a_check_in_python(tmp_path):
    class OwnCheck(likelihoods.Normal):
        def check(self, x):
            super().check(x)

    model = VAE(keras.layers.Dense(4), DiagonalGaussian(2), keras.layers.Dense(6), likelihood=OwnCheck())
    model.build((None, 3))
    with pytest.warns(UserWarning, match=r"OwnCheck checks data in Python, .* unless the likelihood writes is_valid"):
        serving.export(model, tmp_path / "saved")


def operations_of(graph):
    """The names of the operations that run in a graph, those of the functions that it calls included."""
    functions = {function.signature.name: function.node_def for function in graph.library.function}
    found, left = set(), [graph.node]
    while left:
        for node in left.pop():
            found.add(node.op)
            called = [each for value in node.attr.values() for each in [value.func, *value.list.func] if each.name]
            left += [functions.pop(each.name) for each in called if each.name in functions]
    return found


def test_an_export_has_no_operation_that_only_its_making_needs(served):
    """Neither LiteRT nor ONNX knows these; what converts, `tests.conversions` tells where their converters are installed."""
    _, _, loaded = served
    for name in ("encode_from_noise", "posterior_log_prob"):
        operations = operations_of(loaded.signatures[name].graph.as_graph_def())
        assert "MatMul" in operations
        assert "PreventGradient" not in operations
        assert name != "encode_from_noise" or "EnsureShape" not in operations
