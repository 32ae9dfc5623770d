import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import vi
from tfp_iaf.bijectors import InverseAutoregressiveFlow
from tfp_iaf.networks import AutoregressiveNetwork
from tfp_iaf.posteriors import DiagonalGaussian
from tfp_iaf.vi import fitting

tfd = tfp.distributions
tfb = tfp.bijectors


def gaussian(correlation=0.9):
    """p(z, x) of two correlated unknowns, one of them positive, whose logarithm is Gaussian."""
    scale = tf.linalg.cholesky(tf.constant([[1.0, correlation], [correlation, 1.0]]))
    pair = tfd.MultivariateNormalTriL([0.5, -1.0], scale)

    def log_prob(z):
        return pair.log_prob(tf.stack([z["a"], tf.math.log(z["b"])], axis=-1)) - tf.math.log(z["b"])

    return log_prob


def surrogate(**kwargs):
    joint = tfd.JointDistributionNamed({"a": tfd.Normal(0.0, 1.0), "b": tfd.LogNormal(0.0, 1.0)})
    return vi.build_iaf_surrogate_posterior(joint, num_flows=1, hidden_units=(8,), seed=0, **kwargs)


def test_finds_a_correlated_posterior_and_keeps_the_best_rate():
    q = surrogate()
    result = vi.fit(gaussian(), q, num_steps=300, sample_size=64, learning_rates=[1e-6, 3e-2], seed=1)
    assert result.learning_rate == 3e-2
    assert set(result.elbos) == {1e-6, 3e-2}
    assert result.losses.shape == (300,)
    assert abs(result.elbo) < 0.01  # The target is normalized.
    diagnosis = vi.diagnose(gaussian(), q)
    assert diagnosis.effective_sample_size > 0.95
    z = q.sample(20000, seed=[2, 3])
    np.testing.assert_allclose(np.corrcoef(z["a"], np.log(z["b"]))[0, 1], 0.9, atol=0.02)


@pytest.mark.parametrize("base", ["normal", pytest.param("student_t", marks=pytest.mark.long)])
def test_path_gradients_vanish_where_q_is_the_target(base):
    """To rounding, draw by draw; those of the total derivative do not."""
    q, frozen = surrogate(base=base), surrogate(base=base)
    for k, (ours, theirs) in enumerate(zip(q.trainable_variables, frozen.trainable_variables)):
        value = ours + 0.2 * tf.random.stateless_normal(ours.shape, [k, 1])
        ours.assign(value)
        theirs.assign(value)

    def gradients(loss_of):
        with tf.GradientTape() as tape:
            loss = loss_of()
        parts = tape.gradient(loss, q.trainable_variables, unconnected_gradients="zero")
        return max(np.abs(part).max() for part in parts)

    def total():
        z, log_q = q.experimental_sample_and_log_prob(16, seed=[0, 1])
        return tf.reduce_mean(log_q - frozen.log_prob(tf.nest.map_structure(tf.identity, z)))

    path = gradients(lambda: fitting._path_loss(frozen.log_prob, q, 16, tf.constant([0, 1]))[0])
    assert path < 1e-4
    assert gradients(total) > 100.0 * path


def test_flows_are_not_inverted(monkeypatch):
    """The score goes forward with the noise, through the chain of whatever class that TFP makes."""

    def fails(*_):
        raise AssertionError("a flow was inverted")

    monkeypatch.setattr(InverseAutoregressiveFlow, "inverse_and_log_det", fails)
    q = surrogate()
    loss, _ = fitting._path_loss(gaussian(), q, 4, tf.constant([0, 1]))
    assert np.isfinite(loss)


def test_all_learning_rates_share_one_graph():
    calls = []

    def target(z):
        calls.append(None)
        return gaussian()(z)

    counts = []
    for rates in ([1e-2], [1e-2, 3e-3, 1e-3]):
        calls.clear()
        vi.fit(target, surrogate(), num_steps=3, sample_size=4, learning_rates=rates)
        counts.append(len(calls))
    assert counts[0] == counts[1]


def test_the_mean_of_path_gradients_is_that_of_total_ones():
    q = surrogate()

    def path():
        return fitting._path_loss(gaussian(), q, 20000, tf.constant([0, 1]))[0]

    def total():
        z, log_q = q.experimental_sample_and_log_prob(20000, seed=[4, 1])
        return tf.reduce_mean(log_q - gaussian()(z))

    results = []
    for loss_of in (path, total):
        with tf.GradientTape() as tape:
            loss = loss_of()
        results.append(tape.gradient(loss, q.trainable_variables, unconnected_gradients="zero"))
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, atol=0.05)


def test_an_annealed_target():
    """The gradient of E[log q - log p / 2] is that of the target p^(1/2); the estimate is that of p."""
    q, seed = surrogate(), tf.constant([0, 1])

    def gradients(target, beta):
        with tf.GradientTape() as tape:
            loss, value = fitting._path_loss(target, q, 16, seed, beta)
        return tape.gradient(loss, q.trainable_variables, unconnected_gradients="zero"), value

    (halved, value), (of_root, _) = gradients(gaussian(), 0.5), gradients(lambda z: 0.5 * gaussian()(z), 1.0)
    for ours, theirs in zip(halved, of_root):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert value == gradients(gaussian(), 1.0)[1]


def test_the_weight_of_the_target_rises_from_a_hundredth():
    """Where it does not rise, N(0, 0.1^2) is fitted by N(0, 1)."""
    scale = tfp.util.TransformedVariable(0.7, tfb.Softplus())
    q, target = tfd.TransformedDistribution(tfd.Normal(0.0, 1.0), tfb.Scale(scale)), tfd.Normal(0.0, 0.1).log_prob
    for annealing_steps, expected in ((10**9, 1.0), (100, 0.1)):
        trainer = fitting._Trainer(target, q, q.trainable_variables, 300, 64, annealing_steps, tf.constant([0, 0]), None)
        trainer.train(0.1, lambda *_: None)
        np.testing.assert_allclose(scale.numpy(), expected, rtol=1e-3)


def test_equal_seeds_give_equal_fits():
    elbos = []
    for seed in (3, 3, 4):
        keras.utils.set_random_seed(0)  # The first weights.
        elbos.append(vi.fit(gaussian(), surrogate(), num_steps=5, sample_size=8, learning_rates=[1e-2], seed=seed).elbo)
    assert elbos[0] == elbos[1] != elbos[2]


def test_any_transformed_distribution_is_fitted():
    """TFP's own surrogates, too."""
    loc, scale = tf.Variable(0.0), tfp.util.TransformedVariable(1.0, tfb.Softplus())
    q = tfd.TransformedDistribution(tfd.Normal(0.0, 1.0), tfb.Chain([tfb.Exp(), tfb.Shift(loc), tfb.Scale(scale)]))
    vi.fit(tfd.LogNormal(1.0, 0.5).log_prob, q, num_steps=200, sample_size=32, learning_rates=[0.05])
    np.testing.assert_allclose([loc.numpy(), scale.numpy()], [1.0, 0.5], atol=1e-3)


def test_a_target_that_is_never_finite_leaves_the_surrogate_as_it_was():
    q = surrogate()
    before = [variable.numpy() for variable in q.trainable_variables]
    with pytest.raises(ValueError, match="bound is not finite"):
        vi.fit(lambda z: z["a"] * np.nan, q, num_steps=2, sample_size=4)
    for variable, start in zip(q.trainable_variables, before):
        np.testing.assert_array_equal(variable.numpy(), start)


def test_an_annealed_target_of_another_dtype():
    q = vi.without_features(DiagonalGaussian(2, dtype="float64"))
    vi.fit(lambda z: -tf.reduce_sum(z**2, -1), q, num_steps=3, sample_size=4, learning_rates=[1e-2], annealing_steps=3)
    assert q.sample(2).dtype == tf.float64


def test_a_single_unknown():
    """TensorFlow fuses a product over no inputs with a sum, and then ended the process."""
    joint = tfd.JointDistributionNamed({"rate": tfd.LogNormal(0.0, 1.0), "x": lambda rate: tfd.Poisson(rate)})
    pinned = joint.experimental_pin(x=2.0)
    q = vi.build_iaf_surrogate_posterior(pinned, num_flows=2, hidden_units=(8,))
    assert np.isfinite(vi.fit(pinned, q, num_steps=3, sample_size=16, learning_rates=[1e-2]).elbo)


BASE = "base of surrogate_posterior must have reparameterized samples of one tensor, got "
STRUCTURE = {"a": [], "b": [2]}


def shifted(base):
    return tfd.TransformedDistribution(base, tfb.Shift(tf.Variable(0.0)))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"learning_rates": 0.1}, "must be a sequence"),
        ({"learning_rates": [0.0]}, "must be a positive number"),
        ({"num_steps": 0}, "num_steps must be a positive integer"),
        ({"annealing_steps": -1}, "annealing_steps must be"),
        ({"num_steps": 9, "annealing_steps": 10}, "at most num_steps=9, or the target never gets its full weight, got 10"),
        ({"surrogate_posterior": tfd.Normal(0.0, 1.0)}, "must be a tfd.TransformedDistribution"),
        (
            {"joint_distribution": tfd.Normal(0.0, 1.0).log_prob, "surrogate_posterior": shifted(tfd.Normal([0.0, 1.0], 1.0))},
            r"must be one posterior, got batch shape \(2,\)",
        ),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        vi.fit(**{"joint_distribution": gaussian(), "surrogate_posterior": surrogate(), **kwargs})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: shifted(tfd.MixtureSameFamily(tfd.Categorical([0.5, 0.5]), tfd.Normal([0.0, 1.0], 1.0))), BASE),
        (lambda: tfp.experimental.vi.build_affine_surrogate_posterior(event_shape=STRUCTURE, operators="diag"), BASE),
        (lambda: tfp.experimental.vi.build_factored_surrogate_posterior(event_shape=STRUCTURE), "must be a tfd.Transformed"),
    ],
    ids=["a mixture", "affine", "factored"],
)
def test_surrogates_without_path_gradients(make, message):
    with pytest.raises(ValueError, match=message):
        vi.fit(gaussian(), make(), num_steps=2)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (lambda z: -(z**2), r"a log-density for each draw, \(4,\) .* got shape \(4, 2\): add up the entries"),
        (lambda z: -tf.reduce_sum(z**2), r"got shape \(\): add up"),
        (lambda z: None, "log-density must be .*, got None"),
        (lambda z: z.numpy(), "The target failed on draws .* no attribute 'numpy'"),
        (lambda z: tf.reduce_sum(tf.round(z), axis=-1), "has no gradient with respect to the draws"),
        (
            lambda z: tf.ensure_shape(tf.numpy_function(lambda a: a[:, 0], [z], tf.float32), [4]),
            "has no gradient with respect to",
        ),
        (tfd.MultivariateNormalDiag(tf.zeros([3])).log_prob, r"draws of shape \(4, 2\): Dimensions must be equal"),
    ],
)
def test_targets_that_give_no_value_per_draw(target, message):
    vectors = vi.without_features(DiagonalGaussian(2))
    with pytest.raises(ValueError, match=message) as error:
        vi.fit(target, vectors, num_steps=2, sample_size=4, learning_rates=[1e-2])
    assert "\n" not in str(error.value) and "{{node" not in str(error.value)


def test_steps_without_a_finite_gradient_are_counted():
    def surrogate():
        return vi.without_features(DiagonalGaussian(1))

    def trap(z):
        """The branch that is not taken overflows, and its gradient, NaN, is added to the other's."""
        z = z[..., 0]
        return tf.where(z > -1e9, -0.5 * (z - 3.0) ** 2, tf.exp(-1e3 * z))

    settings = {"num_steps": 20, "sample_size": 8, "learning_rates": [1e-2]}
    q = surrogate()
    before = [variable.numpy() for variable in q.trainable_variables]
    with pytest.raises(ValueError, match=r"not finite in any step, so that nothing was learned: look for tf.where"):
        vi.fit(trap, q, **settings)
    for variable, start in zip(q.trainable_variables, before):
        np.testing.assert_array_equal(variable, start)
    assert vi.fit(lambda z: -0.5 * tf.reduce_sum(z**2, axis=-1), surrogate(), **settings).skipped_steps == 0


def test_one_row_of_an_amortized_surrogate_is_refused():
    """Its readers of features would not be trained."""
    joint = tfd.JointDistributionNamed({"mean": tfd.Normal(0.0, 1.0), "x": lambda mean: tfd.Normal(mean, 1.0)})
    pinned = joint.experimental_pin(x=1.0)
    amortized = vi.build_iaf_surrogate_posterior(pinned, num_flows=1, hidden_units=(4,), feature_size=2)
    with pytest.raises(ValueError, match="must have no batch shape"):
        vi.fit(pinned, amortized(tf.ones([1, 2])), num_steps=2)
    assert np.isfinite(vi.diagnose(pinned, amortized(tf.ones([1, 2]))).elbo)


def test_a_keras_layer_that_the_surrogate_does_not_list_is_named():
    """TFP's own coupling on a Keras network: none of its weights would move, without a word."""
    network = keras.Sequential([keras.layers.Input([1]), keras.layers.Dense(4, "tanh"), keras.layers.Dense(2)])

    def shift_and_log_scale(y, _):
        return tf.split(network(y), 2, axis=-1)

    def target(z):
        return -0.5 * z[..., 0] ** 2 - 5.0 * (z[..., 1] - z[..., 0] ** 2) ** 2

    def fit():
        vi.fit(target, q, num_steps=5, sample_size=8, learning_rates=[1e-2])

    coupling = tfb.RealNVP(num_masked=1, shift_and_log_scale_fn=shift_and_log_scale)
    q = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.Variable(tf.zeros([2])), tf.ones([2])), coupling)
    before = [weight.numpy() for weight in network.weights]
    with pytest.warns(UserWarning, match=r"reads variables \(.*kernel.*\) that are not among its trainable_variables"):
        fit()
    np.testing.assert_array_equal(network.weights[0], before[0])
    coupling.network_variables = tuple(weight.value for weight in network.trainable_weights)
    fit()
    assert all(np.abs(weight.numpy() - start).max() > 0.0 for weight, start in zip(network.weights, before))


def test_frozen_weights_of_a_flow_are_no_cause_for_a_warning(recwarn):
    network = AutoregressiveNetwork(2, hidden_units=(4,))
    network.build((None, 2))
    network.trainable = False
    base = tfd.MultivariateNormalDiag(tf.Variable(tf.zeros([2])), tf.ones([2]))
    q = tfd.TransformedDistribution(base, InverseAutoregressiveFlow(network))
    assert len(q.trainable_variables) == 1
    vi.fit(lambda z: -0.5 * tf.reduce_sum(z**2, axis=-1), q, num_steps=2, sample_size=8, learning_rates=[1e-2])
    assert not [warning for warning in recwarn if issubclass(warning.category, UserWarning)]
