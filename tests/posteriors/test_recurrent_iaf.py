import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tfp_iaf import VAE, RecurrentIAF, serving


def features(rows=6):
    return np.random.default_rng(0).normal(size=[rows, 7])


def trained(**kwargs):
    """A posterior with weights away from their start."""
    posterior = RecurrentIAF(**{"latent_size": 4, "units": 8, "seed": 1, **kwargs})
    posterior.build((None, 7))
    properties.randomize(posterior)
    return posterior


def test_log_det_and_round_trip_of_the_chain():
    posterior = trained(latent_size=3, num_flows=1, cell="gru", units=(5, 6), dtype="float64")
    y = np.random.default_rng(1).normal(size=[6, 3])
    properties.check_round_trip(posterior.distribution(features()).bijector, tf.constant(y), atol=1e-9)
    properties.check_log_det(posterior.distribution(features(1)).bijector, tf.constant(y[:1]), atol=1e-9)
    config = RecurrentIAF.from_config(posterior.get_config()).get_config()
    assert (list(config["units"]), config["cell"]) == ([5, 6], "gru")


def test_a_sample_and_its_density_take_one_evaluation_per_flow(monkeypatch):
    posterior = trained()
    calls = []
    for network in posterior.networks:
        call = network.call
        monkeypatch.setattr(network, "call", lambda *args, call=call, **kwargs: (calls.append(1), call(*args, **kwargs))[1])
    posterior(features())
    assert len(calls) == 2
    tf.function(lambda x: posterior(x, num_samples=3)).get_concrete_function(tf.constant(features(), tf.float32))
    assert len(calls) == 4


@pytest.mark.long
def test_a_vae_is_trained_saved_and_served(tmp_path):
    x = (np.random.default_rng(0).random([64, 6]) < np.linspace(0.1, 0.9, 6)).astype(np.float32)
    model = VAE(keras.layers.Dense(8, "elu"), RecurrentIAF(3, num_flows=1, units=8, seed=0), keras.layers.Dense(6))
    model.compile(keras.optimizers.Adam(0.01))
    model.build((None, 6))
    before = [weight.numpy() for weight in model.trainable_weights]
    history = model.fit(x, batch_size=32, epochs=15, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0] + 0.2
    assert all((new.numpy() != old).any() for new, old in zip(model.trainable_weights, before))

    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    z, log_q = model.posterior(model.encode(x), seed=[0, 1])
    for ours, expected in zip(restored.posterior(restored.encode(x), seed=[0, 1]), (z, log_q)):
        np.testing.assert_array_equal(ours, expected)

    serving.export(model, tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served"))
    np.testing.assert_allclose(served.encode(x, tf.constant([0, 1]))["z"], z, atol=1e-5)
    np.testing.assert_allclose(served.posterior_log_prob(x, z)["log_prob"], log_q, atol=1e-4)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"units": 0}, "units must be a positive integer"),
        ({"cell": "rnn"}, "cell must be one of lstm, gru, got 'rnn'"),
        ({"inverse": "blocks"}, "does not serve this RecurrentAutoregressiveNetwork"),
    ],
)
def test_bad_arguments_raise_one_line(kwargs, message):
    with pytest.raises(ValueError, match=message) as error:
        RecurrentIAF(**{"latent_size": 4, **kwargs})
    assert "\n" not in str(error.value)
