"""What a VAE's `objective=`, `free_bits=` and the schedules of its loss do to its gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import cases, properties
from tests.bijectors.constructors import NoInverse
from tfp_iaf import VAE, FreeEnergyAnnealing, KLWarmUp, objectives, priors
from tfp_iaf.models.vae import OBJECTIVES
from tfp_iaf.posteriors import IAF, DiagonalGaussian, FullCovariance, Posterior

W = np.array([[1.0, 0.6], [0.8, 0.9], [-0.2, 0.7]])
X = np.array([[0.5, -0.3, 0.8]]) + 0.3 * np.random.default_rng(0).normal(size=[4, 3])
BITS = (np.random.default_rng(0).random([96, 6]) < 0.4).astype(np.float32)


def linear_gaussian(posterior=DiagonalGaussian, randomized=True, **kwargs):
    """z ~ N(0, I), x ~ N(W z + b, s^2), in float64."""
    keras.utils.set_random_seed(0)
    posterior = posterior(2, seed=1, dtype="float64")
    dense = keras.layers.Dense(6, dtype="float64")
    model = VAE(keras.layers.Identity(dtype="float64"), posterior, dense, likelihood="normal", dtype="float64", **kwargs)
    model.build((None, 3))
    if randomized:
        properties.randomize(model)
    kernel = np.concatenate([W.T, np.zeros_like(W.T)], axis=1)
    dense.set_weights([kernel, np.concatenate([np.zeros(3), np.full(3, -0.7)])])
    return model


def gradients(model, x, num_samples, seed):
    """Of the mean of the training objective: (posterior's weights, decoder's weights), each as one vector."""
    posterior, decoder = model.posterior.trainable_weights, model.decoder.trainable_weights
    with tf.GradientTape() as tape:
        terms = model.elbo_terms(x, num_samples, seed, training=True)
        bound = terms["bound"] if "bound" in terms else objectives.elbo(terms["reconstruction"], terms["kl"])
        value = tf.reduce_mean(bound)
    found = tape.gradient(value, [*posterior, *decoder])
    flat = [tf.reshape(gradient, [-1]) for gradient in found]
    return value, tf.concat(flat[: len(posterior)], 0), tf.concat(flat[len(posterior) :], 0)


def test_doubly_reparameterized_gradients_have_the_mean_of_the_importance_weighted_ones():
    """For the posterior; those of the decoder are the same for every draw."""
    samples, rounds = 4, 30
    x = np.tile(X[:1], [2000, 1])
    draws = {}
    for name in ("importance_weighted", "doubly_reparameterized"):
        model = linear_gaussian(FullCovariance, objective=name, num_samples=samples)
        function = tf.function(lambda seed, model=model: gradients(model, x, samples, seed), autograph=False)
        draws[name] = [function(tf.constant([0, k])) for k in range(rounds)]
    for k in range(rounds):
        (value, _, decoder), (other_value, _, other_decoder) = (draws[name][k] for name in draws)
        np.testing.assert_allclose(value, other_value, rtol=1e-12)
        np.testing.assert_allclose(decoder, other_decoder, rtol=1e-9, atol=1e-12)
    ours, others = (np.array([draw[1] for draw in draws[name]]) for name in draws)
    error = np.std(ours - others, axis=0, ddof=1) / np.sqrt(rounds)
    difference = np.abs(np.mean(ours - others, axis=0))
    assert (difference < 4.5 * error + 1e-12).all()
    assert error.max() < 0.02 * np.abs(others.mean(axis=0)).max()
    # Squared weights, not weights: a factor of sum w^2 / sum w would show.
    assert (np.std(others, axis=0) < np.std(ours, axis=0)).mean() > 0.5


def test_the_importance_weighted_bound_of_one_sample_is_the_elbo_with_its_gradients():
    model = linear_gaussian(objective="importance_weighted")
    plain = linear_gaussian()
    for ours, expected in zip(gradients(model, X, 1, seed=5), gradients(plain, X, 1, seed=5)):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)
    terms = model.elbo_terms(X, 1, seed=5, training=True)
    np.testing.assert_allclose(terms["bound"], terms["reconstruction"] - terms["kl"], rtol=1e-12)


def test_the_importance_weighted_bound_does_not_fall_with_more_samples():
    model = linear_gaussian(objective="importance_weighted")
    x = np.tile(X[:1], [4000, 1])
    bounds = [model.elbo_terms(x, samples, seed=samples, training=True)["bound"][0].numpy() for samples in (1, 4, 16, 64)]
    covariance = W @ W.T + np.exp(2.0 * 5.0 * np.tanh(-0.7 / 5.0)) * np.eye(3)
    log_p = -0.5 * (X[0] @ np.linalg.solve(covariance, X[0]) + np.linalg.slogdet(2.0 * np.pi * covariance)[1])
    for lower, higher in zip(bounds, [*bounds[1:], np.full(4000, log_p)]):
        error = np.sqrt((lower.var() + higher.var()) / 4000)
        assert lower.mean() < higher.mean() + 4.0 * error
    assert bounds[0].mean() < bounds[-1].mean() - 0.1


def test_sticking_the_landing_has_the_mean_of_the_elbo_gradients():
    x, rounds = np.tile(X, [500, 1]), 20

    def posterior(size, **kwargs):
        return IAF(size, hidden_units=(8,), **kwargs)

    models = [linear_gaussian(posterior, objective=name) for name in ("elbo", "sticking_the_landing")]
    functions = [tf.function(lambda seed, model=model: gradients(model, x, 1, seed), autograph=False) for model in models]
    draws = [[function(tf.constant([0, k])) for k in range(rounds)] for function in functions]
    for (value, _, decoder), (path_value, _, path_decoder) in zip(*draws):
        np.testing.assert_allclose(value, path_value, rtol=1e-12)
        np.testing.assert_allclose(decoder, path_decoder, rtol=1e-12)
    usual, path = (np.array([draw[1] for draw in draws_of]) for draws_of in draws)
    error = np.std(usual - path, axis=0, ddof=1) / np.sqrt(rounds)
    assert (np.abs(np.mean(usual - path, axis=0)) < 4.5 * error + 1e-12).all()


# In `fit`


def bits_model(objective="elbo", posterior=None, **kwargs):
    keras.utils.set_random_seed(0)
    posterior = posterior or IAF(2, hidden_units=(8,), seed=1)
    model = VAE(keras.layers.Dense(8, "elu"), posterior, keras.layers.Dense(6), objective=objective, **kwargs)
    model.compile(keras.optimizers.Adam(1e-2))
    return model


@cases.parametrize("objective", {name: name for name in OBJECTIVES}, ["elbo", "importance_weighted"])
def test_every_objective_trains(objective):
    model = bits_model(objective, num_samples=4 if OBJECTIVES[objective][0] else 1)
    assert VAE.from_config(keras.saving.serialize_keras_object(model.get_config())).objective == objective
    model.build((None, 6))
    before = [weight.numpy() for weight in model.trainable_weights]
    history = model.fit(BITS, batch_size=32, epochs=20, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0] + 0.1
    assert all(np.abs(weight.numpy() - old).max() > 0 for weight, old in zip(model.trainable_weights, before))
    # The loss of an importance-weighted bound lies below -elbo; evaluation is that of the elbo.
    gaps = -np.add(history["loss"], history["elbo"])
    assert gaps[-1] > 1e-3 if OBJECTIVES[objective][0] else np.abs(gaps).max() < 1e-3
    results = model.evaluate(BITS, verbose=0, return_dict=True)
    np.testing.assert_allclose(results["loss"], -results["elbo"], rtol=1e-5)


def loss_of(model, callbacks, steps=1):
    """The training loss of each step, with the parts of each step's elbo."""
    history = model.fit(BITS, batch_size=96, epochs=steps, shuffle=False, verbose=0, callbacks=callbacks).history
    return {name: np.array(values) for name, values in history.items()}


def test_the_annealed_free_energy_is_not_a_kl_warm_up():
    """At a weight of 1/2, with the noise of one seed and a learning rate of 0."""

    def at_half(callback):
        model = bits_model()
        model.compile(keras.optimizers.SGD(0.0))
        seen = loss_of(model, [callback])
        # The seed of that step is the layer's first: that of a twin's first call.
        twin = bits_model()
        twin.build((None, 6))
        terms = twin.elbo_terms(BITS, training=True)
        np.testing.assert_allclose(np.mean(terms["kl"]), seen["kl"][0], rtol=1e-4)
        return seen, np.mean(terms["log_q"])

    with pytest.warns(UserWarning, match="fit ended at step"):
        warmed, _ = at_half(KLWarmUp(1000, start=0.5))
        annealed, log_q = at_half(FreeEnergyAnnealing(1000, start=0.5))
    np.testing.assert_allclose(warmed["loss"], 0.5 * warmed["kl"] - warmed["reconstruction"], rtol=1e-5)
    log_joint = annealed["reconstruction"] - annealed["kl"] + log_q
    np.testing.assert_allclose(annealed["loss"], log_q - 0.5 * log_joint, rtol=1e-4)
    assert abs(warmed["loss"][0] - annealed["loss"][0]) > 0.5


def test_annealing_follows_the_optimizer_and_leaves_nothing_behind():
    schedule = FreeEnergyAnnealing()
    assert [schedule.beta_at(step) for step in (0, 5000, 9900, 20000)] == [0.01, 0.51, 1.0, 1.0]
    model, seen = bits_model(posterior=DiagonalGaussian(2, seed=1)), []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(float(model.inverse_temperature)))
    with pytest.warns(UserWarning, match=r"before FreeEnergyAnnealing with num_steps=10 did: the last beta was 0.4"):
        history = model.fit(
            BITS, batch_size=32, verbose=0, validation_data=BITS, callbacks=[FreeEnergyAnnealing(10, start=0.2), watch]
        ).history
    np.testing.assert_allclose(seen, [0.2, 0.3, 0.4], rtol=1e-6)
    assert float(model.inverse_temperature) == 1.0
    np.testing.assert_allclose(history["val_loss"], np.negative(history["val_elbo"]), rtol=1e-5)


# Free bits


def test_free_bits_hold_per_entry_where_the_kl_splits_and_per_latent_elsewhere():
    for prior, groups in ((None, 2), (priors.GaussianMixture(2, seed=0), 1)):
        model = bits_model(prior=prior, free_bits=0.4)
        model.build((None, 6))
        terms = model.elbo_terms(BITS, seed=3, training=True)
        plain = model.elbo_terms(BITS, seed=3)
        assert terms["kl_per_map"].shape == (1, 96, groups)
        np.testing.assert_allclose(terms["kl"], plain["kl"], atol=1e-5)
        np.testing.assert_allclose(tf.reduce_sum(terms["kl_per_map"], -1), plain["kl"], atol=1e-5)
        expected = np.maximum(np.mean(terms["kl_per_map"], axis=(0, 1)), 0.4).sum()
        outputs = {name: values[0] for name, values in terms.items() if name != "z"}
        np.testing.assert_allclose(model.kl_objective(outputs, tf.ones([96]), True), expected, rtol=1e-5)
        # With lambda = 0 in evaluation.
        results = model.evaluate(BITS, verbose=0, return_dict=True)
        np.testing.assert_allclose(results["loss"], -results["elbo"], rtol=1e-5)


def test_soft_free_bits_follow_the_kl_and_are_saved(tmp_path):
    model = bits_model(free_bits=50.0, soft_free_bits=True)
    model.fit(BITS, batch_size=32, verbose=0)
    np.testing.assert_allclose(model.free_bits_weights, [1.1**-3] * 2, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored.free_bits_weights, model.free_bits_weights)
    assert (restored.free_bits, restored.soft_free_bits) == (50.0, True)


# What is biased or has no meaning


class OfFlowWithoutInverse(Posterior):
    def flows(self, flow_inputs):
        return [NoInverse()]


def fit_with(callbacks, **kwargs):
    return lambda: bits_model(**kwargs).fit(BITS, verbose=0, callbacks=callbacks)


REFUSED = {
    "unknown": (lambda: bits_model("iwae"), "objective must be one of elbo, sticking_the_landing.*, got 'iwae'"),
    "landing, samples": (lambda: bits_model("sticking_the_landing", num_samples=2), "biased; use 'doubly_reparameterized'"),
    "free bits, weighted": (lambda: bits_model("importance_weighted", free_bits=0.1), "free_bits bound the KL term"),
    "free bits, doubly": (lambda: bits_model("doubly_reparameterized", free_bits=0.1), "free_bits bound the KL term"),
    "free bits, landing": (lambda: bits_model("sticking_the_landing", free_bits=0.1), "free_bits bound the KL term"),
    "negative bits": (lambda: bits_model(free_bits=-1.0), "number of at least 0"),
    "soft without bits": (lambda: bits_model(soft_free_bits=True), "needs a number of nats"),
    "no score": (
        lambda: bits_model("sticking_the_landing", OfFlowWithoutInverse(2)).build((None, 6)),
        "needs the score of log q, and a flow of of_flow_without_inverse.* has no inverse",
    ),
    "warm-up, weighted": (fit_with([KLWarmUp(3)], objective="importance_weighted"), "has no KL term"),
    "annealing, weighted": (fit_with([FreeEnergyAnnealing()], objective="importance_weighted"), "FreeEnergyAnnealing takes"),
    "annealing, free bits": (fit_with([FreeEnergyAnnealing()], free_bits=0.1), r"got VAE\(objective='elbo', free_bits=0.1\)"),
    "both schedules": (fit_with([KLWarmUp(3), FreeEnergyAnnealing()]), "Use one of them"),
    "start": (lambda: FreeEnergyAnnealing(start=2.0), "start must lie in"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_biased_and_meaningless_combinations_are_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


# Noise that is given, and examples' weights


@pytest.mark.parametrize("kwargs", [{"free_bits": 0.1}, {"objective": "sticking_the_landing"}, {"objective": "elbo"}], ids=str)
def test_given_noise_takes_the_place_of_a_seed_in_training(kwargs):
    """Gradients too are those of the objective."""
    model = linear_gaussian(lambda size, **options: IAF(size, hidden_units=(8,), **options), **kwargs)
    noise = model.posterior.noise(model.posterior.read(model.encode(X)), seed=5)

    def terms_and_gradients(**source):
        with tf.GradientTape() as tape:
            terms = model.elbo_terms(X, training=True, **source)
            kl = tf.reduce_mean(terms["kl"])
        return terms, tape.gradient(kl, model.posterior.trainable_weights)

    terms, found = terms_and_gradients(noise=noise)
    expected, expected_gradients = terms_and_gradients(seed=5)
    assert terms.keys() == expected.keys()
    for name in terms:
        np.testing.assert_allclose(terms[name], expected[name], rtol=1e-9)
    for one, other in zip(found, expected_gradients):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    for rows in (1, 3):
        with pytest.raises(ValueError, match=rf"noise of shape \[4, 2\], got \({rows}, 2\)"):
            model.elbo_terms(X, noise=noise[:rows])


@pytest.mark.parametrize("is_soft", [False, True])
def test_the_loss_with_free_bits_is_proportional_to_the_weights(is_soft):
    model = linear_gaussian(free_bits=0.5, soft_free_bits=is_soft)
    outputs = model(X, training=True)
    weight = np.array([1.0, 0.5, 2.0, 0.5])
    losses, soft_weights = [], []
    for scale in (1.0, 0.1):
        if is_soft:
            model.free_bits_weights.assign([1.0, 1.0])
        losses.append(model.kl_objective(outputs, scale * weight, training=True).numpy())
        soft_weights.append(None if not is_soft else model.free_bits_weights.numpy())
    np.testing.assert_allclose(losses[1], 0.1 * losses[0], rtol=1e-9)
    if is_soft:
        np.testing.assert_array_equal(*soft_weights)
        assert (soft_weights[0] != 1.0).any()
