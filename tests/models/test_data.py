"""Every kind of data passes the same door."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf import VAE, ConditionalDensity, likelihoods
from tfp_iaf.models._data import as_array, hint_of_condition
from tfp_iaf.posteriors import IAF, DiagonalGaussian

X = (np.random.default_rng(0).random([48, 6]) < 0.5).astype(np.float32)
CONDITION = np.eye(48, dtype=np.float32)[:, :3]


class Frame:
    """What this package needs of a pandas DataFrame."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


class Batches(keras.utils.PyDataset):
    def __init__(self, *parts):
        super().__init__()
        self.parts = parts

    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(16 * index, 16 * index + 16)
        cut = tuple(part[rows] for part in self.parts)
        return (cut if len(cut) > 1 else cut[0],)


def batches(*parts):
    source = Batches(*parts)
    return (source[index] for index in range(3))


def dataset(*parts):
    return tf.data.Dataset.from_tensor_slices((parts if len(parts) > 1 else parts[0],)).batch(16)


def together(*parts):
    return parts if len(parts) > 1 else parts[0]


KINDS = {
    "array": together,
    "tensor": lambda *parts: together(*map(tf.constant, parts)),
    "list": lambda *parts: together(*(part.tolist() for part in parts)),
    "DataFrame": lambda *parts: together(*map(Frame, parts)),
    "generator": batches,
    "PyDataset": Batches,
    "tf.data": dataset,
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def joined(*layers):
    return keras.Sequential([keras.layers.Concatenate(), *layers])


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = VAE(keras.layers.Dense(8), DiagonalGaussian(2, seed=0), keras.layers.Dense(6))
    model.compile(keras.optimizers.SGD(0.0))
    model.build((None, 6))
    return model


@pytest.fixture(scope="module")
def conditional():
    keras.utils.set_random_seed(0)
    model = VAE(joined(keras.layers.Dense(8)), DiagonalGaussian(2, seed=0), joined(keras.layers.Dense(6)))
    model.compile(keras.optimizers.SGD(0.0))
    return model


def reseed(model):
    model.posterior.seed_generator.state.assign([0, 0])
    return model


@every_kind
def test_every_kind_has_the_same_metrics(kind, model, conditional):
    for trained, parts in ((model, (X,)), (conditional, (X, CONDITION))):
        expected = reseed(trained).evaluate(together(*parts), batch_size=16, verbose=0, return_dict=True)
        actual = reseed(trained).evaluate(kind(*parts), verbose=0, return_dict=True, **batch_size(kind))
        assert set(actual) == {"loss", "elbo", "kl", "reconstruction"}
        assert actual == pytest.approx(expected, rel=1e-5)
        assert reseed(trained).predict(kind(*parts), verbose=0, **batch_size(kind))["elbo"].shape == (48,)
        steps = {"steps_per_epoch": 3, "validation_steps": 3} if kind is batches else {}
        history = trained.fit(kind(*parts), validation_data=kind(*parts), verbose=0, **steps).history
        assert {"elbo", "val_elbo"} <= set(history)


def batch_size(kind):
    return {"steps": 3} if kind is batches else {} if kind in (Batches, dataset) else {"batch_size": 16}


@every_kind
@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "NaN or infinite"), (0.5, "0 or 1")], ids=["NaN", "no Bernoulli value"]
)
def test_every_kind_has_the_same_checks(kind, value, message, model):
    bad = X.copy()
    bad[40, 3] = value
    for call in (
        lambda: model.fit(kind(bad), verbose=0),
        lambda: model.fit(X, validation_data=kind(bad), verbose=0),
        lambda: model.evaluate(kind(bad), verbose=0),
        lambda: model.predict(kind(bad), verbose=0),
    ):
        with pytest.raises(ValueError, match=message) as error:
            call()
        assert "\n" not in str(error.value)


def test_calls_outside_functions_check_too(model, conditional):
    bad = X / 2
    for call in (
        model,
        model.train_on_batch,
        model.test_on_batch,
        model.predict_on_batch,
        model.elbo_terms,
        model.encode,
        model.encode_mean,
        model.reconstruct,
        model.posterior_sample,
        lambda x: model.posterior_log_prob(x, np.zeros([48, 2], np.float32)),
        lambda x: conditional((x, CONDITION)),
    ):
        call(tf.constant(X)) if call is model else None
        for x in (bad, tf.constant(bad)):
            with pytest.raises(ValueError, match="0 or 1") as error:
                call(x)
            assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X + 1j, "real numbers, got dtype complex"),
        (np.ma.masked_array(X, X == 1), "masked entries"),
        ([np.ma.masked_array(row, row == 1) for row in X], "masked entries"),
        (X.astype(np.float64) * 1e300, "rescale them"),
        (np.array([["a", "b"]]), "real numbers"),
        ([[1.0, 0.0], [1.0]], "rows of one shape"),
        ([np.ones([3, 4]), np.ones([3, 2])], r"two shapes, \(3, 4\) and \(3, 2\): give x and its condition as a tuple"),
        ({"x": X}, "got {'x'"),
        (tf.sparse.from_dense(X), "must be dense"),
        (tf.ragged.constant([[1.0], [1.0, 0.0]]), "must be dense"),
        (X[0], "is the dataset batched"),
        (X[:, :5], "takes examples of shape"),
        ((X, CONDITION), "takes no condition"),
        ((X, CONDITION, X), "got one of 3"),
        (tf.data.Dataset.from_tensor_slices(X), "is the dataset batched"),
        (tf.data.Dataset.from_tensor_slices(X[:, 0]), "call .batch"),
        (dataset(X).map(lambda x: {"x": x}), "dense tensors"),
        (dataset(X).map(lambda x: tf.py_function(lambda x: x, [x], tf.float32)), "unknown rank"),
        (dataset(X).map(lambda x: (x, x)), "takes no targets"),
        (dataset(X).map(lambda x: tf.cast(x, tf.complex64)), "real numbers"),
        (dataset(X.astype(np.float64) * 1e300), "rescale them"),
        (iter([]), "gives no batch"),
        (None, "got None"),
    ],
)
def test_what_is_no_data_for_this_model(x, message, model):
    for method in (model.fit, model.evaluate, model.predict):
        if not (method is not model.fit and hasattr(x, "__next__")):
            with pytest.raises(ValueError, match=message) as error:
                method(x, verbose=0)
            assert "\n" not in str(error.value)


def test_conditions_that_do_not_fit(conditional):
    conditional.build_for((X, CONDITION))
    for x, message in (
        (X, "takes a condition"),
        ((X, CONDITION[:3]), "the same number of rows"),
        ((X, CONDITION[:, :2]), "conditions of shape"),
        ((X, np.where(CONDITION, np.nan, 0.0)), "condition holds NaN"),
        (dataset(X), "takes a condition"),
        (dataset(X, np.where(CONDITION, np.nan, 0.0)), "condition holds NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            conditional.fit(x, verbose=0)


def test_targets_and_losses_are_refused(model):
    for call in (
        lambda: model.fit(X, X),
        lambda: model.evaluate(X, X),
        lambda: model.fit(X, class_weight={0: 1.0}),
        lambda: model.compile("adam", loss="mse"),
        lambda: model.compile("adam", "mse"),
        lambda: model.compile("adam", metrics=["mse"]),
        lambda: model.fit(X, validation_data=(X, X, np.ones(48))),
    ):
        with pytest.raises(ValueError, match=r"no targets|goes with targets|of its own") as error:
            call()
        assert "\n" not in str(error.value)


def test_weights_of_every_form(model):
    weights = np.arange(48.0)
    elbo = reseed(model).predict(X, batch_size=12, verbose=0)["elbo"]
    expected = np.sum(weights * elbo) / np.sum(weights)
    weighted = tf.data.Dataset.from_tensor_slices((X, weights)).batch(12).map(lambda x, w: (x, None, w))
    generator = ((X[i : i + 12], None, weights[i : i + 12]) for i in range(0, 48, 12))
    for arguments in ((X, None, 12, 0, weights), (X, None, 12, 0, weights[:, None]), (weighted,), (generator,)):
        keywords = {} if len(arguments) > 1 else {"verbose": 0, "steps": 4}
        results = reseed(model).evaluate(*arguments, return_dict=True, **keywords)
        assert results["elbo"] == pytest.approx(expected, rel=1e-5)
    history = model.fit(X, verbose=0, validation_data=(X, None, 0 * weights), sample_weight=0 * weights).history
    assert history["loss"] == history["val_loss"] == [0.0]
    for bad in (np.ones([48, 6]), np.ones(3), -weights, weights * np.nan):
        with pytest.raises(ValueError, match="sample_weight must"):
            model.fit(X, sample_weight=bad)
        if len(bad) == 48:
            elements = tf.data.Dataset.from_tensor_slices((X, bad)).batch(12).map(lambda x, w: (x, None, w))
            with pytest.raises(ValueError, match="sample_weight must"):
                model.fit(elements, verbose=0)
    with pytest.raises(ValueError, match="goes with arrays"):
        model.fit(dataset(X), sample_weight=weights)


def test_float64_data_keep_their_range_where_the_model_computes_in_float64():
    assert as_array("data", np.full([2, 2], 1e300), "float64").dtype == np.float64


def test_a_likelihood_that_only_has_check_is_asked_in_python(model):
    from tfp_iaf.likelihoods import Likelihood

    class Positive(Likelihood):
        def distribution(self, parameters):
            return model.likelihood.distribution(parameters)

        def check(self, x):
            if (x < 0).any():
                raise ValueError("Only positive data.")

    strict = VAE(keras.layers.Dense(8), DiagonalGaussian(2), keras.layers.Dense(6), likelihood=Positive())
    strict.compile("sgd")
    bad = np.concatenate([X, -X])
    for kind in (together, dataset):
        strict.fit(kind(X), verbose=0)
        with pytest.raises(ValueError, match="Only positive"):
            strict.fit(kind(bad), verbose=0)
    with pytest.raises(ValueError, match="Only positive"):
        strict(tf.constant(bad))


def test_a_check_written_below_a_likelihood_of_the_package_holds_everywhere():
    class NotAllOnes(likelihoods.Bernoulli):
        def check(self, x):
            super().check(x)
            if x.mean() == 1.0:
                raise ValueError("All ones.")

    model = VAE(keras.layers.Dense(4), DiagonalGaussian(2), keras.layers.Dense(X.shape[1]), likelihood=NotAllOnes())
    model.build((None, X.shape[1]))
    for call in (model, model.reconstruct, model.elbo_terms):
        with pytest.raises(ValueError, match=r"All ones\."):
            call(np.ones([3, X.shape[1]], np.float32))


def test_a_tuple_of_three_is_refused_in_one_line():
    model = VAE(keras.layers.Dense(4), DiagonalGaussian(2), keras.layers.Dense(X.shape[1]))
    model.build((None, X.shape[1]))
    with pytest.raises(ValueError, match=r"A tuple is \(x, condition\), got one of 3"):
        model((X, X, X))


def test_gradients_reach_x_as_a_variable(model):
    x = tf.Variable(np.ones([2, *model.data_shape], np.float32))
    with tf.GradientTape() as tape:
        terms = model.elbo_terms(x, seed=0)
    assert np.abs(tape.gradient(terms["reconstruction"], x)).max() > 0.0


def test_a_single_number_may_be_the_condition():
    """Such as a class for `keras.layers.Embedding`; in graphs, whose number of samples is not known, too."""

    def network(size, units):
        x, label = keras.Input((size,)), keras.Input((), dtype="int32")
        return keras.Model(
            [x, label], keras.layers.Dense(units)(keras.layers.Concatenate()([x, keras.layers.Embedding(3, 4)(label)]))
        )

    model = VAE(network(6, 8), DiagonalGaussian(2), network(2, 6))
    model.compile("sgd")
    model.fit((X, np.arange(len(X)) % 3), verbose=0)
    sampled = tf.function(lambda num_samples: model.sample(num_samples, 0, condition=tf.constant([1])))
    np.testing.assert_allclose(sampled(tf.constant(3)), model.sample(3, 0, condition=1), atol=1e-6)


def test_samples_without_a_seed_differ(model):
    assert np.abs(model.sample(3) - model.sample(3)).max() > 0.0
    sampled = tf.function(model.sample)
    assert np.abs(sampled(3) - sampled(3)).max() > 0.0


def test_integers_that_the_models_floats_cannot_tell_apart():
    with pytest.raises(ValueError, match="condition has integers beyond 16,777,216, which float32 cannot tell apart"):
        as_array("condition", np.array([[2**24 + 1]]))
    assert as_array("condition", np.array([[2**24]])).dtype == int
    assert as_array("condition", np.array([[2**24 + 1]]), "float64").dtype == int
    # Data may be rounded: they are no categories.
    assert as_array("data", np.array([[2**24 + 1]])).dtype == int


def test_every_door_sees_integers_that_would_be_merged():
    encoder = keras.Sequential([keras.layers.Dense(4)])
    model = ConditionalDensity(encoder, IAF(1, num_flows=1, hidden_units=(4,), bijector_fn="spline"))
    model.compile("adam")
    y, ids = np.zeros([4, 1], np.float32), np.arange(4)[:, np.newaxis]
    model.fit((y, ids), verbose=0)
    bad = 2**24 + ids
    batches = tf.data.Dataset.from_tensors(((y, ids),)).concatenate(tf.data.Dataset.from_tensors(((y, bad),)))
    for call in (
        lambda: model.log_prob(y, bad),
        lambda: model.log_prob(y, tf.constant(bad)),
        lambda: model.sample(2, seed=0, condition=bad),
        lambda: model.evaluate((y, bad), verbose=0),
        lambda: model.evaluate(batches, verbose=0),
    ):
        with pytest.raises(ValueError, match="integers beyond 16,777,216"):
            call()


def test_integers_that_half_precision_rounds():
    ids = np.arange(300) % 299

    def fit(dtype, rows=300):
        encoder = keras.Sequential([keras.layers.Embedding(400, 2, dtype=dtype), keras.layers.Dense(2, dtype="bfloat16")])
        posterior = IAF(1, num_flows=1, hidden_units=(4,), bijector_fn="spline", dtype="mixed_bfloat16")
        model = ConditionalDensity(encoder, posterior, dtype="mixed_bfloat16")
        model.compile("adam", run_eagerly=True)
        model.fit((np.zeros([rows, 1]), ids[:rows]), batch_size=rows, verbose=0)
        return len(np.unique(model.encode(np.arange(300)), axis=0))

    with pytest.warns(UserWarning, match="integers beyond 256, and sequential.* rounds them to bfloat16"):
        assert fit("mixed_bfloat16") < 300
    # What the warning advises.
    assert fit("float32") > 290
    fit("mixed_bfloat16", rows=200)


def test_nan_is_refused_where_the_author_of_a_check_forgot_it():
    class OwnCheck(likelihoods.Bernoulli):
        def check(self, x):
            if (x < 0.0).any():
                raise ValueError("negative")

    own = VAE(keras.layers.Dense(4), DiagonalGaussian(2), keras.layers.Dense(6), likelihood=OwnCheck())
    own.compile("adam")
    with pytest.raises(ValueError, match="The data hold NaN or infinite values"):
        own.fit(np.full([8, 6], np.nan), verbose=0)


def test_conditions_far_from_standardized_get_a_hint_once_per_fit():
    rng = np.random.default_rng(0)
    x, condition = rng.integers(0, 2, [64, 6]).astype(np.float32), 1e6 * rng.normal(size=[64, 3])

    def joined(*layers):
        return keras.Sequential([keras.layers.Concatenate(), *layers])

    model = VAE(joined(keras.layers.Dense(4)), DiagonalGaussian(2), joined(keras.layers.Dense(6)))
    model.compile("adam")
    batches = tf.data.Dataset.from_tensor_slices(((x, condition),)).shuffle(64).batch(16)
    for data in ((x, condition), batches):
        with pytest.warns(UserWarning, match="expects standardized conditions") as caught:
            model.fit(data, epochs=3, verbose=0)
        assert len(caught) == 1
    # Numbers of classes, for an Embedding, are no hint's business.
    assert hint_of_condition(np.arange(64.0)[:, np.newaxis]) is None
