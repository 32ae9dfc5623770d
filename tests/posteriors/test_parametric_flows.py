"""Planar, radial, NICE and Sylvester posteriors: what the contract's tests do not cover."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import cases, properties
from tests.posteriors.constructors import CASES
from tfp_iaf import VAE, serving
from tfp_iaf.bijectors import ReverseOrder
from tfp_iaf.posteriors import NICE, PlanarFlow, RadialFlow, SylvesterFlow

KINDS = {
    "planar": lambda size, **kwargs: PlanarFlow(size, num_flows=2, **kwargs),
    "radial": lambda size, **kwargs: RadialFlow(size, num_flows=2, **kwargs),
    "NICE": lambda size, **kwargs: NICE(size, num_flows=2, hidden_units=(6,), **kwargs),
    "Sylvester": lambda size, **kwargs: SylvesterFlow(size, num_flows=2, **kwargs),
    "Householder": lambda size, **kwargs: SylvesterFlow(size, num_flows=2, variant="householder", **kwargs),
    "triangular": lambda size, **kwargs: SylvesterFlow(size, num_flows=2, variant="triangular", **kwargs),
}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def trained(posterior, scale=1.0):
    posterior.build((None, 7))
    properties.randomize(posterior, scale)
    return posterior


def features(rows=4):
    return np.random.default_rng(0).normal(size=[rows, 7])


@every_kind
def test_densities_on_the_plane_integrate_to_one(make):
    distribution = trained(make(2, dtype="float64", seed=1)).distribution(0.5 * features(1))
    integral = properties.integral_on_the_plane(lambda z: distribution.log_prob(z[:, np.newaxis])[:, 0], half_width=12.0)
    assert abs(integral - 1.0) < 0.01


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"NICE"}))
def test_one_latent(name):
    posterior = trained(KINDS[name](1, dtype="float64"))
    z, log_q = posterior(features(), num_samples=3)
    np.testing.assert_allclose(posterior(features(), value=properties.fresh(z)), log_q, atol=1e-8)


@every_kind
def test_own_samples_keep_their_density_in_float32(make):
    posterior = trained(make(16, seed=1))
    z, log_q = posterior(features(50).astype(np.float32), num_samples=4)
    error = np.abs(posterior(features(50).astype(np.float32), value=properties.fresh(z)) - log_q)
    assert np.median(error) < 1e-4
    assert error.max() < 0.02


def test_the_rows_of_a_sylvester_flow_keep_their_bound():
    posterior = trained(SylvesterFlow(5, num_flows=1, row_norm=0.5), scale=100.0)
    (flow,) = posterior.flows(posterior.read(features().astype(np.float32))[2])
    for rows in (flow.r, flow.s):
        norms = np.linalg.norm(rows, axis=-1)
        assert 0.4 < norms.max() <= 0.5 + 1e-6


@every_kind
@pytest.mark.parametrize("magnitude", [10.0, 1000.0])
def test_densities_stay_finite_whatever_the_features(make, magnitude):
    posterior = trained(make(5, seed=1))
    z, log_q = posterior((magnitude * features(50)).astype(np.float32), num_samples=4)
    assert np.isfinite(z).all()
    assert np.isfinite(log_q).all()


@cases.parametrize("name", {name: name for name in ("planar", "radial", "NICE", "Sylvester")}, ["radial", "NICE", "Sylvester"])
def test_trained_saved_and_served(name, tmp_path):
    """Served: one with a network of its own, and one with the longest search."""
    keras.utils.set_random_seed(0)
    model = VAE(keras.layers.Dense(7, "elu"), KINDS[name](3, seed=0), keras.layers.Dense(6))
    model.build((None, 6))
    x = (np.random.default_rng(0).random([16, 6]) < 0.5).astype(np.float32)
    before = [weight.numpy() for weight in model.trainable_weights]
    model.compile(keras.optimizers.Adamax(1e-2))
    model.fit(x, batch_size=8, epochs=2, verbose=0)
    assert all(np.abs(now - start).max() > 0 for now, start in zip(model.trainable_weights, before))
    z, log_q = model.posterior_sample(x, seed=[0, 1])
    np.testing.assert_allclose(model.posterior_log_prob(x, z), log_q, atol=1e-3)

    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(restored.posterior_sample(x, seed=[0, 1]), (z, log_q)):
        np.testing.assert_array_equal(ours, theirs)

    if name not in ("NICE", "Sylvester"):
        return
    serving.export(model, tmp_path / "saved")
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(loaded.encode(x, tf.constant([0, 1]))["log_q"], log_q, atol=1e-4)
    np.testing.assert_allclose(loaded.posterior_log_prob(x, z)["log_prob"], log_q, atol=1e-3)


def test_a_triangular_chain_reverses_between_its_flows():
    posterior = CASES["Sylvester, triangular"].trained()
    kinds = [type(flow) is ReverseOrder for flow in posterior.flows(tf.ones([6, posterior.flow_size]))]
    assert kinds == [False, True, False]


def test_sizes_of_what_the_features_give():
    assert PlanarFlow(5, num_flows=3).flow_size == 3 * 11
    assert RadialFlow(5, num_flows=3).flow_size == 3 * 7
    assert NICE(5).flow_size == 5
    assert NICE(5, context_size=0).flow_size == 0
    assert SylvesterFlow(5, num_flows=2, num_columns=3).flow_size == 2 * (6 + 6 + 3 + 15)
    assert SylvesterFlow(40).num_columns == 16


def test_bad_arguments_raise_one_line():
    for function, message in {
        lambda: NICE(1): "at least 2",
        lambda: NICE(4, hidden_units=3): "sequence of widths",
        lambda: PlanarFlow(4, num_flows=0): "num_flows must be a positive integer",
        lambda: RadialFlow(0): "latent_size must be a positive integer",
        lambda: SylvesterFlow(4, variant="qr"): "orthogonal, householder, triangular",
        lambda: SylvesterFlow(4, row_norm=0.0): "row_norm must be a positive number",
        lambda: SylvesterFlow(4, num_columns=5): "at most latent_size=4",
        lambda: SylvesterFlow(4, variant="triangular", num_columns=3): "leave num_columns out",
        lambda: SylvesterFlow(4, num_reflections=3): "leave num_reflections out",
    }.items():
        with pytest.raises(ValueError, match=message) as error:
            function()
        assert "\n" not in str(error.value)
