"""What every posterior does, whatever its latent."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import cases, properties
from tests.posteriors.constructors import CASES

tfd = tfp.distributions

every_posterior = cases.parametrize("case", CASES)
# One of each way to compute: what the others differ in, maps and orders, does not matter to most tests.
FEW = ["full covariance", "IAF", "recurrent IAF", "NICE, odd", "Sylvester, odd", "conv IAF", "conv IAF, series"]
few_posteriors = pytest.mark.parametrize("case", [CASES[name] for name in FEW], ids=FEW)


@every_posterior
def test_log_q_equals_the_density_of_the_sample(case):
    posterior, features = case.trained(dtype="float64"), case.features()
    z, log_q = posterior(features, num_samples=3)
    assert z.shape == (3, 6, *case.latent_shape)
    assert log_q.shape == (3, 6)
    distribution = posterior.distribution(features)
    assert distribution.batch_shape == [6]
    assert distribution.event_shape == list(case.latent_shape)
    properties.check_sample_density(distribution, z, log_q, atol=1e-8)
    np.testing.assert_allclose(posterior(features, value=properties.fresh(z)), log_q, atol=1e-8)
    np.testing.assert_allclose(posterior.log_prob(features, properties.fresh(z)), log_q, atol=1e-8)
    np.testing.assert_allclose(posterior.log_prob(features[:1], z[:, :1]), log_q[:, :1], atol=1e-8)


@every_posterior
def test_distribution_is_a_transformed_distribution_where_tfp_has_one(case):
    distribution = case.trained().distribution(case.features())
    is_diagonal_of_rank_above_one = len(case.latent_shape) > 1 and isinstance(distribution, tfd.Independent)
    assert isinstance(distribution, tfd.TransformedDistribution) or is_diagonal_of_rank_above_one


@few_posteriors
def test_float32_log_q_is_consistent(case):
    posterior = case.trained()
    z, log_q = posterior(case.features(), num_samples=100)
    properties.check_sample_density(posterior.distribution(case.features()), z, log_q, atol=2e-3)


@every_posterior
def test_untrained_flows_are_near_the_identity(case):
    """Whatever the encoder gives: here a layer of 300 units, of variance 1."""
    posterior = case.make()
    features = tf.random.stateless_normal([6, *case.places, 300], seed=[0, 1])
    posterior(features)
    parameters = posterior.read(features)
    noise = posterior.noise(parameters, num_samples=20, seed=2)
    z, log_q = posterior.draw(parameters, noise)
    base = tfd.Normal(parameters[0], posterior.base_scale(*parameters[:2]))
    y = base.loc + base.scale * noise
    log_base = tf.reduce_sum(base.log_prob(y), axis=range(-len(case.latent_shape), 0))
    # Gates start at sigmoid(2), so that a flow contracts; flows of the triangular variant reverse the order in between.
    factor = 0.8808**posterior.num_flows if posterior.get_config().get("bijector_fn") == "gated" else 1.0
    assert min(np.sqrt(np.mean((z - factor * each) ** 2)) for each in (y, y[..., ::-1])) < 0.2
    size = np.prod(case.latent_shape)
    np.testing.assert_allclose(log_q, log_base - size * np.log(factor), atol=0.1 * size)


@few_posteriors
def test_samples_come_from_seeds_alone(case):
    features = case.features()
    first, again, other = (case.trained(seed=seed)(features)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-2
    posterior = case.trained()
    assert np.abs(posterior(features)[0] - posterior(features)[0]).max() > 1e-2
    # An integer s is the pair [0, s].
    draws = [posterior(features, seed=seed)[0] for seed in (5, 5, [0, 5], tf.constant([0, 5]), np.int64(5))]
    for draw in draws[1:]:
        np.testing.assert_array_equal(draw, draws[0])
    same_rows = posterior(np.repeat(features[:1], 8, axis=0))[0]
    assert len(np.unique(np.reshape(same_rows, [8, -1])[:, 0])) == 8


@few_posteriors
def test_the_base_mean_without_a_draw(case):
    posterior, features = case.trained(dtype="float64"), case.features()
    z, log_q = posterior(features, sample=False)
    np.testing.assert_array_equal(posterior(features, sample=False)[0], z)
    np.testing.assert_allclose(posterior(features, value=z), log_q, atol=1e-8)
    loc, _, flow_inputs = posterior.read(features)
    expected = tf.cast(loc, tf.float64)
    for flow in posterior.flows(flow_inputs):
        expected = flow.forward(expected)
    np.testing.assert_allclose(z, expected, atol=1e-10)


@few_posteriors
def test_training_false_still_draws(case):
    posterior, features = case.trained(), case.features()
    for training in (False, True):
        first, second = (posterior(features, training=training)[0] for _ in range(2))
        assert np.abs(first - second).max() > 1e-2


@few_posteriors
def test_parameters_drawn_and_scored_by_those_who_compute_them(case):
    """What a hierarchical model does: flows without readers, statistics of its own, log q by entry."""
    posterior, features = case.trained(dtype="float64"), case.features()
    parameters = posterior.read(features)
    for size, part in zip(posterior.parameter_sizes, parameters):
        assert part is None if size == 0 else part.shape == (6, *case.places, size)
    noise = np.random.default_rng(2).normal(size=[6, *case.latent_shape])
    z, log_q = posterior.draw(parameters, noise)
    np.testing.assert_allclose(posterior.log_prob_at(parameters, properties.fresh(z)), log_q, atol=1e-8)
    np.testing.assert_allclose(posterior(features, value=z), log_q, atol=1e-8)
    bare = case.make(dtype="float64")
    bare.build_flows()
    mine = tuple(None if size == 0 else np.ones([6, *case.places, size]) for size in bare.parameter_sizes)
    assert np.isfinite(bare.draw(mine, noise)[1]).all()
    if hasattr(posterior, "networks"):
        entry_z, by_entry = posterior.draw(parameters, noise, by_entry=True)
        np.testing.assert_allclose(entry_z, z, atol=1e-12)
        assert by_entry.shape == (6, *case.latent_shape)
        np.testing.assert_allclose(tf.reduce_sum(tf.reshape(by_entry, [6, -1]), axis=-1), log_q, atol=1e-9)


@cases.parametrize("case", {name: CASES[name] for name in FEW}, set(FEW) - {"full covariance", "IAF", "conv IAF"})
def test_same_numbers_in_eager_graph_and_xla(case):
    posterior, features = case.trained(), case.features()

    def draw_and_score(x):
        z, log_q = posterior(x, seed=[3, 4])
        return z, log_q, posterior(x, value=z)

    expected = draw_and_score(features)
    for compiled in (tf.function(draw_and_score), tf.function(draw_and_score, jit_compile=True)):
        for ours, theirs in zip(compiled(features), expected):
            np.testing.assert_allclose(ours, theirs, atol=2e-4)


@few_posteriors
def test_densities_of_half_precision_networks_are_computed_in_float32(case):
    posterior = case.trained(dtype="mixed_bfloat16")
    z, log_q = posterior(case.features(), num_samples=5)
    assert z.dtype == log_q.dtype == tf.float32
    density = posterior(case.features(), value=properties.fresh(z))
    assert density.dtype == tf.float32
    assert np.isfinite(log_q).all()
    # A given z is scored as it is, and not as half precision rounds it.
    np.testing.assert_allclose(density, log_q, atol=0.3)


@every_posterior
def test_config_round_trip(case):
    posterior, features = case.trained(), case.features()
    config = posterior.get_config()
    twin = type(posterior).from_config(json.loads(json.dumps(config)))
    twin(features)
    twin.set_weights(posterior.get_weights())
    assert twin.get_config() == config
    for ours, other in zip(twin(features, seed=[0, 1]), posterior(features, seed=[0, 1])):
        np.testing.assert_array_equal(ours, other)


@every_posterior
def test_weights_and_the_state_of_the_noise_are_saved(case, tmp_path):
    def model():
        inputs = keras.Input((*case.places, case.features_size))
        return keras.Model(inputs, case.make()(inputs))

    saved, features = model(), case.features()
    saved(features)
    saved.save(tmp_path / "model.keras")
    expected = [saved(features) for _ in range(2)]
    restored = keras.models.load_model(tmp_path / "model.keras")
    for pair in expected:
        for ours, theirs in zip(restored(features), pair):
            np.testing.assert_array_equal(ours, theirs)


@every_posterior
def test_checkpoints_hold_every_weight(case, tmp_path):
    posterior, other = case.trained(), case.trained(scale=0.1)
    path = tf.train.Checkpoint(posterior=posterior).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(posterior=other).read(path).assert_consumed()
    for ours, theirs in zip(other.weights, posterior.weights):
        np.testing.assert_array_equal(ours, theirs)


@every_posterior
def test_symbolic_shapes(case):
    posterior = case.make()
    features = keras.Input((*case.places, case.features_size))
    value = keras.Input(case.latent_shape)
    z, log_q = posterior(features)
    assert z.shape == (None, *case.latent_shape)
    assert log_q.shape == (None,)
    z, log_q = posterior(features, num_samples=3)
    assert z.shape == (3, None, *case.latent_shape)
    assert log_q.shape == (3, None)
    assert posterior(features, value=value).shape == (None,)
    assert posterior.log_prob(features, value).dtype == "float32"
    for kwargs in ({}, {"num_samples": 2}):
        symbolic = posterior.compute_output_shape(features.shape, **kwargs)
        assert tuple(part.shape for part in posterior(features, **kwargs)) == symbolic


@few_posteriors
def test_eight_rows_or_none(case):
    posterior = case.trained()
    for rows in (0, 8):
        z, log_q = posterior(case.features(rows))
        assert z.shape == (rows, *case.latent_shape)
        assert log_q.shape == (rows,)
