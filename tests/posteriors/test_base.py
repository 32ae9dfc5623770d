"""Posteriors as Keras layers, and a posterior that a user writes."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties
from tfp_iaf.bijectors import FlowBijector, maps
from tfp_iaf.posteriors import IAF, ConvIAF, DiagonalGaussian, Posterior


def features(rows=6, size=7):
    return np.random.default_rng(0).normal(size=[rows, size]).astype(np.float32)


class Shear(FlowBijector):
    """z = (y_1 exp(a), y_2 + tanh(y_1) b exp(a)): of this test's own, with a log_det that depends on the features."""

    def __init__(self, a, b, name="shear"):
        parameters = dict(locals())
        self.a, self.b = a, b
        super().__init__(forward_min_event_ndims=1, dtype=a.dtype, parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {name: tfp.util.ParameterProperties(event_ndims=0) for name in ("a", "b")}

    def forward_and_log_det(self, y):
        scale = tf.exp(self.a)
        z = tf.stack([y[..., 0] * scale, y[..., 1] + tf.tanh(y[..., 0]) * self.b * scale], axis=-1)
        return z, self.a + tf.zeros_like(y[..., 0])


class InvertibleShear(Shear):
    def inverse_and_log_det(self, z):
        first = z[..., 0] * tf.exp(-self.a)
        y = tf.stack([first, z[..., 1] - tf.tanh(first) * self.b * tf.exp(self.a)], axis=-1)
        return y, self.a + tf.zeros_like(first)


@keras.saving.register_keras_serializable("tests.posteriors")
class Sheared(Posterior):
    """A user's posterior, from outside the package."""

    flow_size = 2
    flow_type = InvertibleShear

    def flows(self, flow_inputs):
        return [self.flow_type(*tf.unstack(0.3 * flow_inputs, axis=-1))]


class ShearedWithoutInverse(Sheared):
    flow_type = Shear


def test_a_posterior_of_a_users_own(tmp_path):
    posterior = Sheared(2, dtype="float64", seed=1)
    z, log_q = posterior(features(), num_samples=50)
    distribution = posterior.distribution(features())
    assert (distribution.batch_shape, distribution.event_shape) == ([6], [2])
    properties.check_sample_density(distribution, z, log_q, atol=1e-9)
    np.testing.assert_allclose(posterior(features(), value=z), log_q, atol=1e-9)
    inputs = keras.Input((7,))
    model = keras.Model(inputs, Sheared(2)(inputs))
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(features())[0], model(features())[0])
    integral = properties.integral_on_the_plane(
        lambda at: posterior.log_prob(features()[:1], at[:, None, :])[:, 0], half_width=15.0, points=601
    )
    assert abs(integral - 1.0) < 0.01


def test_a_posterior_without_an_inverse_samples_and_says_that_it_cannot_score():
    posterior = ShearedWithoutInverse(2)
    z, log_q = posterior(features())
    assert np.isfinite(log_q).all()
    np.testing.assert_array_equal(posterior(features(), sample=False)[0], posterior(features(), sample=False)[0])
    for score in (
        lambda: posterior(features(), value=z),
        lambda: posterior.log_prob(features(), z),
        lambda: posterior.distribution(features()).log_prob(properties.fresh(z)),
    ):
        with pytest.raises(NotImplementedError, match="inverse") as error:
            score()
        assert "\n" not in str(error.value)


def test_a_flow_of_another_kind_is_refused():
    class Bad(Posterior):
        def flows(self, flow_inputs):
            return [tfp.bijectors.Exp()]

    with pytest.raises(ValueError, match=r"must return bijectors\.FlowBijectors, got Exp"):
        Bad(2)(features())


def test_flows_of_wrong_shapes_are_refused():
    """A log_det of [B, 1] made log_q [B, B], silently."""

    class Double(FlowBijector):
        def __init__(self, keepdims, name="double"):
            super().__init__(forward_min_event_ndims=1, parameters=dict(locals()), name=name)
            self.keepdims = keepdims

        @classmethod
        def _parameter_properties(cls, dtype):
            return {}

        def forward_and_log_det(self, y):
            return 2.0 * y, tf.reduce_sum(tf.math.log(2.0) * tf.ones_like(y), axis=-1, keepdims=self.keepdims)

        def inverse_and_log_det(self, z):
            return 0.5 * z, self.forward_and_log_det(z)[1]

    class Scaled(Posterior):
        keepdims = True

        def flows(self, flow_inputs):
            return [Double(self.keepdims)]

    class Right(Scaled):
        keepdims = False

    z, log_q = Right(2)(features())
    assert log_q.shape == z.shape[:1]
    parameters = Scaled(2).read(features())
    for call in (
        lambda: Scaled(2)(features()),
        lambda: Scaled(2)(features(), num_samples=3),
        lambda: Scaled(2)(features(), value=z),
        lambda: Scaled(2).draw_with_score(parameters, tf.zeros_like(z)),
    ):
        with pytest.raises(ValueError, match=r"Double, a flow of \w+, must return one log_det for each latent of shape \(2,\)"):
            call()


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


@keras.saving.register_keras_serializable("tests.posteriors")
class Cubic(maps.ElementwiseMap):
    """z = y + exp(u) y^3, of a user's own; the inverse by Newton iterations."""

    params = 1

    def forward(self, y, parameters):
        factor = tf.exp(tf.tanh(parameters[..., 0]))
        return y + factor * y**3, tf.math.log(1.0 + 3.0 * factor * y**2)

    def inverse(self, z, parameters):
        factor = tf.exp(tf.tanh(parameters[..., 0]))
        y = tf.sign(z) * tf.abs(z / (1.0 + factor)) ** (1 / 3)
        for _ in range(60):
            y -= (y + factor * y**3 - z) / (1.0 + 3.0 * factor * y**2)
        return y, tf.math.log(1.0 + 3.0 * factor * y**2)


@keras.saving.register_keras_serializable("tests.posteriors")
def sinh_arcsinh(parameters):
    return tfp.bijectors.SinhArcsinh(skewness=tf.tanh(parameters[..., 0]), tailweight=tf.exp(0.3 * tf.tanh(parameters[..., 1])))


@pytest.mark.parametrize("bijector_fn", [Cubic(), (sinh_arcsinh, 2)], ids=["map", "function"])
@pytest.mark.parametrize("kind", ["vector", "series"])
def test_a_map_of_a_users_own_in_every_chain(kind, bijector_fn, tmp_path):
    posterior, places = {
        "vector": (IAF(3, hidden_units=(8,), bijector_fn=bijector_fn, dtype="float64"), ()),
        "series": (ConvIAF((3, 1), filters=(4,), bijector_fn=bijector_fn, dtype="float64"), (3,)),
    }[kind]
    x = np.random.default_rng(0).normal(size=[4, *places, 5])
    posterior(x)
    properties.randomize(posterior)
    z, log_q = posterior(x)
    np.testing.assert_allclose(posterior(x, value=properties.fresh(z)), log_q, atol=1e-6)
    inputs = keras.Input(x.shape[1:], dtype="float64")
    model = keras.Model(inputs, posterior(inputs))
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(x)[0], model(x)[0])


def test_a_file_names_no_function_that_is_not_registered(tmp_path):
    config = IAF(3, hidden_units=(8,), bijector_fn=(sinh_arcsinh, 2)).get_config()
    config["bijector_fn"]["config"]["bijector_fn"] |= {"module": "os", "config": "abort", "registered_name": "abort"}
    with pytest.raises(ValueError, match="names 'abort', which is not registered"):
        IAF.from_config(config)


def test_sequential_models():
    model = keras.Sequential([keras.layers.Dense(5), DiagonalGaussian(4)])
    assert model.compute_output_shape((None, 7)) == ((None, 4), (None,))
    z, log_q = model(tf.constant(features()))
    assert (z.shape, log_q.shape) == ((6, 4), (6,))
    built = keras.Sequential([keras.Input((7,)), IAF(4, hidden_units=(8,))])
    assert [part.shape for part in built.outputs] == [(None, 4), (None,)]
    assert built.predict(features(), verbose=0)[0].shape == (6, 4)


@pytest.mark.parametrize("score_first", [False, True])
def test_functional_models_draw_and_score(score_first, tmp_path):
    """One layer used in both ways, in either order, trained by what it scores, saved and loaded."""
    posterior = IAF(2, hidden_units=(8,), seed=0)
    x, y = keras.Input((7,), name="x"), keras.Input((2,), name="y")
    if score_first:
        log_q = posterior(x, value=y)
        z, _ = posterior(x)
    else:
        z, _ = posterior(x)
        log_q = posterior.log_prob(x, y)
    model = keras.Model([x, y], [z, log_q])
    given = np.random.default_rng(1).normal(size=[6, 2]).astype(np.float32)
    np.testing.assert_allclose(
        model([tf.constant(features()), tf.constant(given)])[1], posterior(features(), value=given), atol=1e-5
    )
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    inputs = [tf.constant(features()), tf.constant(given)]
    for ours, theirs in zip(restored(inputs), model(inputs)):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_subclassed_model_that_scores_is_built_without_false_warnings():
    class Regression(keras.Model):
        def __init__(self):
            super().__init__()
            self.encoder = keras.layers.Dense(8)
            self.posterior = IAF(2, hidden_units=(8,), seed=0)

        def call(self, inputs):
            x, y = inputs
            return self.posterior.log_prob(self.encoder(x), y)

    rng = np.random.default_rng(0)
    x = rng.normal(size=[256, 3]).astype(np.float32)
    y = (x[:, :2] + 0.1 * rng.normal(size=[256, 2])).astype(np.float32)
    model = Regression()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.compile(keras.optimizers.Adam(0.02), loss=lambda _, log_q: -log_q)
        history = model.fit((x, y), np.zeros(256), epochs=8, batch_size=64, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] - 0.5
    assert len(model.posterior.tf_variables) == len(model.posterior.weights) > 4


def test_a_given_z_keeps_its_precision():
    posterior = DiagonalGaussian(2, dtype="mixed_bfloat16")
    value = tf.constant([[1.0001, -2.0002]] * 6)
    distribution = posterior.distribution(features())
    np.testing.assert_allclose(posterior(features(), value=value), distribution.log_prob(value), rtol=1e-6)


def test_gradients_reach_every_weight():
    posterior = IAF(3, hidden_units=(8,), dtype="float64")
    value = np.random.default_rng(1).normal(size=[6, 3])
    posterior(features())
    properties.randomize(posterior)
    for call in (lambda: posterior(features(), seed=0), lambda: posterior(features(), value=value)):
        with tf.GradientTape() as tape:
            loss = tf.add_n([tf.reduce_sum(part) for part in tf.nest.flatten(call())])
        for gradient in tape.gradient(loss, posterior.tf_variables):
            assert np.abs(gradient).max() > 0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: DiagonalGaussian(0), "latent_size must be a positive integer"),
        (lambda: DiagonalGaussian(), "Give latent_size or latent_shape"),
        (lambda: DiagonalGaussian(3, latent_shape=(3,)), "Give latent_size or latent_shape"),
        (lambda: DiagonalGaussian(latent_shape=(2, 2, 2, 2)), r"latent_shape must be \(D,\), \(T, C\) or \(H, W, C\)"),
        (lambda: DiagonalGaussian(latent_shape=(2, 0)), "number in latent_shape must be a positive integer"),
        (lambda: DiagonalGaussian(2, seed=1.5), "seed must be"),
        (lambda: DiagonalGaussian(2)(features(), num_samples=0), "num_samples must be a positive integer"),
        (lambda: DiagonalGaussian(2)(features(), num_samples=1.9), "num_samples must be a positive integer"),
        (lambda: DiagonalGaussian(2)(features(), seed=[1.5, 2.5]), "seed must be an integer or a pair"),
        (lambda: DiagonalGaussian(2)(features(), seed=2**40), "seed must be an integer or a pair"),
        (lambda: DiagonalGaussian(2)(features(), seed=[1, 2, 3]), "seed must be an integer or a pair"),
        (lambda: DiagonalGaussian(2)(np.zeros([2, 3, 4])), r"expects features of shape \[batch, size\]"),
        (lambda: DiagonalGaussian(2)(np.zeros([3])), r"expects features of shape \[batch, size\]"),
        (lambda: DiagonalGaussian(2).distribution(np.zeros([3])), r"expects features of shape \[batch, size\]"),
        (lambda: DiagonalGaussian(2).distribution(keras.Input((3,))), r"use posterior\(features, value=z\)"),
        (lambda: DiagonalGaussian(latent_shape=(3, 2)).compute_output_shape((None, 4, 5)), r"\[batch, 3, maps\]"),
        (lambda: DiagonalGaussian(2).log_prob(features(), np.zeros([6, 5])), r"expects z of shape \[\.\.\., 6, 2\]"),
        (lambda: DiagonalGaussian(2).log_prob(features(), np.zeros([4, 2])), r"expects z of shape \[\.\.\., 6, 2\]"),
        (lambda: DiagonalGaussian(2)(features(), value=np.zeros([6, 2]), num_samples=3), "leave out num_samples"),
        (lambda: DiagonalGaussian(2)(features(), value=np.zeros([6, 2]), sample=False), "leave out sample"),
    ],
)
def test_bad_arguments_raise_one_line(function, message):
    with pytest.raises(ValueError, match=message) as error:
        function()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"seed": 3}, "leave out seed"),
        ({"num_samples": 4}, "leave out num_samples"),
        ({"sample": None}, "sample must be True or False"),
    ],
)
def test_arguments_that_sample_false_would_ignore_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        DiagonalGaussian(2)(features(), **{"sample": False, **kwargs})
