"""The hierarchical VAE of images with a condition."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.hierarchical.models import images, make
from tfp_iaf import evaluation, serving
from tfp_iaf.layers import initialize_weight_normalization

every_inference = pytest.mark.parametrize("inference", ["bidirectional", "bottom-up"])


def conditions(rows=6):
    return np.eye(3, dtype="float32")[np.arange(rows) % 3]


@every_inference
def test_prior_posterior_and_decoder_read_the_condition(inference):
    model = make(inference, condition_size=3)
    x, c = images(3), conditions(3)
    z, log_q = model.posterior_sample((x, c), seed=0)
    others = c[::-1].copy()
    assert np.abs(model.posterior_log_prob((x, others), z) - log_q)[[0, 2]].min() > 1e-3
    assert np.abs(model.prior.log_prob(z, others) - model.prior.log_prob(z, c))[[0, 2]].min() > 1e-3
    assert np.abs(model.decode(z, others) - model.decode(z, c))[[0, 2]].max() > 1e-3
    # The one image whose condition is the same.
    np.testing.assert_allclose(model.decode(z, others)[1], model.decode(z, c)[1], atol=1e-5)


@every_inference
def test_terms_are_densities_given_the_condition(inference):
    model = make(inference, condition_size=3)
    x, c = images(4), conditions(4)
    terms = model.elbo_terms((x, c), num_samples=2, seed=[0, 1])
    for s in range(2):
        z = [latents[s] for latents in terms["z"]]
        kl = model.posterior_log_prob((x, c), z) - model.prior.log_prob(z, c)
        np.testing.assert_allclose(terms["kl"][s], kl, rtol=1e-4, atol=1e-3)
        log_p = model.likelihood.distribution(model.decode(z, c)).log_prob(tf.cast(x, tf.float32))
        np.testing.assert_allclose(terms["reconstruction"][s], log_p, rtol=1e-4)


def test_a_condition_that_all_rows_share():
    model, c = make(condition_size=3), conditions(1)[0]
    rows = np.stack([c, c])
    z = model.prior_sample(2, seed=1, condition=c)
    np.testing.assert_allclose(model.decode(z, c), model.decode(z, rows), atol=1e-5)
    np.testing.assert_allclose(model.prior.log_prob(z, c), model.prior.log_prob(z, rows), atol=1e-4)
    np.testing.assert_allclose(model.sample(2, seed=1, condition=c), model.sample(2, seed=1, condition=rows), atol=1e-3)


def test_recomputed_activations_have_the_same_gradients():
    x, c = images(4), conditions(4)
    gradients = []
    for recompute in (False, True):
        model = make(condition_size=3, recompute=recompute, dtype="float64")
        with tf.GradientTape() as tape:
            kl = tf.reduce_sum(model.elbo_terms((x, c), seed=0, training=True)["kl"])
        gradients.append(tape.gradient(kl, model.ladder.read_condition.trainable_variables))
    for one, other in zip(*gradients):
        assert np.abs(one).max() > 1e-3
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-12)


@every_inference
def test_fit_learns_what_the_condition_says(inference):
    """One image per condition, which latents need not tell."""
    c = conditions(48)
    x = np.tile(images(3), [16, 1, 1, 1])
    model = make(inference, num_layers=(1,), posterior="diagonal", condition_size=3, trained=False)
    initialize_weight_normalization(model, (x + images(48) // 32, c))
    model.compile(keras.optimizers.Adamax(3e-2))
    before = [variable.numpy() for variable in model.trainable_variables]
    model.fit((x, c), batch_size=48, epochs=60, verbose=0)
    assert all(np.abs(old - new).max() > 0 for old, new in zip(before, model.trainable_variables))
    right, wrong = (evaluation.elbo(model, (x[:3], rows), num_samples=8, verbose=False) for rows in (c[:3], c[[1, 2, 0]]))
    # Hundreds of nats, of images of 128 numbers.
    assert (right - wrong).min() > 20.0


def test_files_and_exports_keep_the_condition(tmp_path):
    model, x, c = make(condition_size=3), images(3), conditions(3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    kl = model.elbo_terms((x, c), seed=0)["kl"]
    np.testing.assert_allclose(loaded.elbo_terms((x, c), seed=0)["kl"], kl, rtol=1e-4)
    serving.export(model, tmp_path / "saved")
    served = tf.saved_model.load(str(tmp_path / "saved"))
    seed = tf.constant([0, 1])
    np.testing.assert_allclose(served.sample(3, seed, c)["mean"], model.sample(3, seed, condition=c), atol=1e-2)
    terms = model.elbo_terms((x, c), seed=seed)
    elbo = served.elbo(x.astype("float32"), seed, c)["elbo"]
    np.testing.assert_allclose(elbo, (terms["reconstruction"] - terms["kl"])[0], rtol=1e-4)
    assert evaluation.log_likelihood(model, (x, c), num_samples=4, verbose=False).shape == (3,)


class Frame:
    """What this package reads of a pandas DataFrame."""

    def __init__(self, columns, values):
        self.columns, self.values, self.shape = columns, values, values.shape

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


def test_a_loaded_model_knows_the_columns_of_the_condition(tmp_path):
    model = make(num_layers=(1,), posterior="diagonal", filters=4, condition_size=3, trained=False)
    model.compile("adam")
    model.fit((images(3), Frame(["a", "b", "c"], conditions(3))), verbose=0)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    twin = make(num_layers=(1,), posterior="diagonal", filters=4, condition_size=3, trained=False)
    twin.load_weights(tmp_path / "model.weights.h5")
    for each in (model, twin, keras.models.load_model(tmp_path / "model.keras")):
        assert each.sample(3, seed=0, condition=Frame(["a", "b", "c"], conditions(3))).shape == (3, 8, 8, 2)
        with pytest.raises(ValueError, match="column 1 was 'a', and is 'b' now"):
            each.sample(3, seed=0, condition=Frame(["b", "a", "c"], conditions(3)))


def test_what_does_not_fit_is_refused():
    model, x, c = make(condition_size=3, trained=False), images(3), conditions(3)
    model.compile("adam")
    z = [tf.zeros([3, *shape]) for shape in model.latent_shapes]
    for call, message in (
        (lambda: model.fit(x, verbose=0), r"takes a condition, got none: give the tuple \(x, condition\)"),
        (lambda: model.elbo_terms((x, c[:, :2])), r"takes conditions of shape \(3,\), got \(2,\)"),
        (lambda: model.sample(2, seed=0), "pass condition="),
        (lambda: model.prior.log_prob(z), "pass condition="),
        (lambda: model.prior.sample(2, 0), "pass condition="),
        (lambda: model.decode(z, c[:2]), r"condition must have shape \[3, 3\]"),
        (lambda: make(condition_size=0), "condition_size must be a positive integer"),
        (lambda: make().fit((x, c), verbose=0), "takes no condition, got one: give x alone, or make the model for a condition"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
