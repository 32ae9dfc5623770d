import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf import bijectors, evaluation, posteriors
from tfp_iaf.models import ConditionalDensity
from tfp_iaf.posteriors import Posterior


def curved(rows, seed):
    """y_1 ~ N(+-(1 + c), 0.3^2) with equal chances, y_2 ~ N(y_1^2 / 3, 0.3^2), c uniform on [0, 1]; and log p(y | c)."""
    rng = np.random.default_rng(seed)
    condition = rng.random([rows, 1])
    centre = 1.0 + condition[:, 0]
    y = np.where(rng.random(rows) < 0.5, 1.0, -1.0) * centre + 0.3 * rng.normal(size=rows)
    y = np.stack([y, y**2 / 3.0 + 0.3 * rng.normal(size=rows)], axis=-1)

    def log_normal(value, loc):
        return -0.5 * ((value - loc) / 0.3) ** 2 - np.log(0.3 * np.sqrt(2.0 * np.pi))

    modes = np.logaddexp(log_normal(y[:, 0], centre), log_normal(y[:, 0], -centre)) - np.log(2.0)
    return y.astype(np.float32), condition.astype(np.float32), modes + log_normal(y[:, 1], y[:, 0] ** 2 / 3.0)


def make(latent_size=2, **kwargs):
    keras.utils.set_random_seed(0)
    options = {"num_flows": 1, "hidden_units": (32, 32), "bijector_fn": "spline", "seed": 0, **kwargs}
    return ConditionalDensity(keras.Sequential([keras.layers.Dense(32, "elu")]), posteriors.IAF(latent_size, **options))


@pytest.mark.long
def test_learns_a_curved_density_of_two_modes(tmp_path):
    model = make()
    y, condition, _ = curved(4096, seed=0)
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit((y, condition), batch_size=256, epochs=30, verbose=0)
    y, condition, expected = curved(1024, seed=1)
    actual = model.log_prob(y, condition).numpy()
    # The long check holds a larger model to 0.05.
    assert np.mean(expected - actual) < 0.15
    results = model.evaluate((y, condition), verbose=0, return_dict=True)
    assert results["log_likelihood"] == pytest.approx(actual.mean(), rel=1e-4)
    assert results["loss"] == pytest.approx(-actual.mean(), rel=1e-4)
    np.testing.assert_allclose(
        evaluation.log_likelihood(model, (y, condition), num_samples=2, verbose=False), actual, atol=1e-3
    )
    samples = model.sample(400, seed=3, condition=condition[:5]).numpy()
    assert samples.shape == (400, 5, 2)
    np.testing.assert_array_equal(samples, model.sample(400, seed=3, condition=condition[:5]))
    # Both modes, each near its centre.
    assert (np.abs((samples[..., 0] > 0).mean(axis=0) - 0.5) < 0.15).all()
    np.testing.assert_allclose(np.abs(samples[..., 0]).mean(axis=0), 1.0 + condition[:5, 0], atol=0.25)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored.log_prob(y, condition), actual)
    np.testing.assert_allclose(model.distribution(condition).log_prob(y), actual, atol=1e-4)


@pytest.mark.parametrize("kind", ["arrays", "dataset"])
def test_data(kind):
    y, condition, _ = curved(64, seed=0)
    model = make(hidden_units=(8,), bijector_fn="affine")
    model.compile("adam", run_eagerly=kind == "dataset")
    elements = tf.data.Dataset.from_tensor_slices(((y, condition),)).batch(32)
    data = (y, condition) if kind == "arrays" else elements
    history = model.fit(data, validation_data=data, verbose=0).history
    assert set(history) == {"loss", "log_likelihood", "val_loss", "val_log_likelihood"}
    assert model.predict(data, verbose=0)["log_likelihood"].shape == (64,)
    assert model.sample(3, seed=0, condition=condition[0]).shape == (3, 1, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, y, c: m.fit(y), "takes a condition|got y alone"),
        (lambda m, y, c: m.fit((y[:, :1], c)), "latent size must be the size of y|takes examples of shape"),
        (lambda m, y, c: m.log_prob(y, c[:3]), "the same number of rows"),
        (lambda m, y, c: m.log_prob(y * np.nan, c), "NaN"),
        (lambda m, y, c: m.sample(3, seed=0), "pass condition="),
        (lambda m, y, c: m.sample(3, seed=0.5, condition=c), "seed must be"),
        (lambda m, y, c: m.sample(3, seed=0, condition=c, temperature=0.5), "temperature 1"),
        (lambda m, y, c: m.fit(y[:, 0]), "shape .batch, 1."),
    ],
)
def test_errors(call, message):
    y, condition, _ = curved(16, seed=0)
    model = make(hidden_units=(8,), bijector_fn="affine")
    model.compile("adam")
    if "latent size" not in message:
        model.build_for((y, condition))
    with pytest.raises(ValueError, match=message) as error:
        call(model, y, condition)
    assert "\n" not in str(error.value)


def test_data_on_a_raw_scale_get_a_hint():
    y, condition, _ = curved(64, seed=0)
    model = make(hidden_units=(8,), bijector_fn="affine")
    model.compile("adam")
    with pytest.warns(UserWarning, match="standardized y"):
        model.fit((1e3 * y, condition), verbose=0)
    with pytest.warns(UserWarning, match="standardized conditions"):
        model.fit((y, 1e3 * condition), verbose=0)


@pytest.mark.parametrize("kwargs", [{"likelihood": "bernoulli"}, {"num_samples": 5}])
def test_arguments_of_models_with_latents_are_refused(kwargs):
    with pytest.raises(ValueError, match="takes no"):
        ConditionalDensity(keras.layers.Dense(4), posteriors.IAF(2, hidden_units=(8,)), **kwargs)


def test_before_it_is_built_it_says_so():
    model = ConditionalDensity(keras.layers.Dense(4), posteriors.IAF(2, hidden_units=(8,)))
    with pytest.raises(ValueError, match="is not built"):
        model.sample(3, seed=0, condition=np.ones([3], np.float32))


class NoInverse(bijectors.FlowBijector):
    def __init__(self, shift, name="no_inverse"):
        parameters = dict(locals())
        self.shift = shift
        super().__init__(forward_min_event_ndims=1, dtype=shift.dtype, parameters=parameters, name=name)

    def forward_and_log_det(self, y):
        return y + self.shift, tf.zeros_like(y[..., 0])


class Shifted(Posterior):
    flow_size = 1

    def flows(self, flow_inputs):
        return [NoInverse(flow_inputs)]


def test_a_posterior_without_an_inverse_is_refused_when_the_model_is_built():
    with pytest.raises(NotImplementedError, match=r"scores given y, and a flow of .* has no inverse") as error:
        ConditionalDensity(keras.layers.Dense(4), Shifted(2)).build(((None, 2), (None, 1)))
    assert "\n" not in str(error.value)


def test_densities_at_one_condition_and_of_several_y_for_each():
    model = make(num_flows=1)
    y, condition, _ = curved(6, seed=0)
    expected = model.log_prob(y, np.tile(condition[:1], [6, 1]))
    for shared in (condition[:1], condition[0]):
        np.testing.assert_allclose(model.log_prob(y, shared), expected, rtol=1e-5)
    samples = model.sample(5, seed=0, condition=condition[:4])
    found = model.log_prob(samples, condition[:4])
    np.testing.assert_allclose(found, model.distribution(condition[:4]).log_prob(samples), atol=1e-4)
    np.testing.assert_allclose(
        model.log_prob(samples, condition[0])[2, 3], model.log_prob(samples[2, 3:4], condition[:1])[0], rtol=1e-5
    )
    with pytest.raises(ValueError, match=r"condition must have shape \[4, 1\]"):
        model.log_prob(samples, condition[:3])
    with pytest.raises(ValueError, match="y and condition need the same number of rows, got 6 and 4"):
        model.log_prob(y, condition[:4])
