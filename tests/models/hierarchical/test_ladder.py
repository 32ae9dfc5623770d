"""What the stochastic layers and the ways up and down compute."""

import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tests.models.hierarchical.models import images, make

every_inference = pytest.mark.parametrize("inference", ["bidirectional", "bottom-up"])


@pytest.mark.parametrize(
    ("inference", "posterior"),
    [("bidirectional", "diagonal"), ("bidirectional", "linear"), ("bidirectional", "iaf"), ("bottom-up", "iaf")],
)
def test_log_q_is_the_density_of_the_latents(inference, posterior):
    """log q = log N(noise) - log|det dz/dnoise| of the whole stack, by autodiff; and by inverting every flow."""
    model = make(inference, posterior, dtype="float64", latent_channels=1)
    x = tf.cast(images(1), tf.float64)
    sizes = [int(np.prod(shape)) for shape in model.latent_shapes]
    noise = tf.constant(np.random.default_rng(0).normal(size=[sum(sizes)]))

    def latents(noise):
        parts = [tf.reshape(part, [1, *shape]) for part, shape in zip(tf.split(noise, sizes), model.latent_shapes)]
        layers = model.ladder.stochastic_layers
        z, log_q, _, _ = model.ladder.up_and_down(
            model.encode(x), None, 1, lambda index, statistics: layers[index].draw(statistics, parts[index])
        )
        return z, sum(tf.reduce_sum(part) for part in log_q)

    z, log_q = latents(noise)
    jacobian = properties.jacobian(lambda noise: tf.concat([tf.reshape(part, [-1]) for part in latents(noise)[0]], 0), noise)
    log_normal = -0.5 * np.sum(noise**2) - 0.5 * np.log(2 * np.pi) * sum(sizes)
    np.testing.assert_allclose(log_q, log_normal - np.linalg.slogdet(jacobian)[1], atol=1e-9)
    np.testing.assert_allclose(model.posterior_log_prob(x, z), [log_q], atol=1e-8)


@pytest.mark.parametrize(("inference", "posterior"), [("bidirectional", "iaf"), ("bottom-up", "linear")])
def test_terms_of_the_bound(inference, posterior):
    """At every sample: kl from the densities of q and of the prior, reconstruction from decoding the same latents."""
    model = make(inference, posterior, dtype="float64")
    x = images(3)
    terms = model.elbo_terms(x, num_samples=4, seed=[0, 1])
    assert [z.shape for z in terms["z"]] == [(4, 3, *shape) for shape in model.latent_shapes]
    np.testing.assert_allclose(tf.reduce_sum(terms["kl_per_map"], axis=-1), terms["kl"], atol=1e-9)
    assert terms["kl_per_map"].shape == (4, 3, 4)
    for s in range(4):
        z = [latent[s] for latent in terms["z"]]
        log_prob = model.likelihood.distribution(model.decode(z)).log_prob(tf.cast(x, tf.float64))
        np.testing.assert_allclose(terms["reconstruction"][s], log_prob, atol=1e-8)
        np.testing.assert_allclose(terms["kl"][s], model.posterior_log_prob(x, z) - model.prior.log_prob(z), atol=1e-8)


@every_inference
def test_posteriors_depend_on_what_they_are_conditioned_on(inference):
    """Bidirectional: the lower latent's posterior moves with the higher one. Bottom-up: the higher's with the lower."""
    model = make(inference, dtype="float64")
    features = model.encode(images(1))
    z = [tf.zeros([1, *shape], tf.float64) for shape in model.latent_shapes]
    changed, other = (1, 0) if inference == "bidirectional" else (0, 1)
    z[changed] += 1.0
    seen = {}

    def record(index, statistics):
        seen[index] = statistics.numpy()
        return z[index], tf.zeros([1, 1], tf.float64)

    model.ladder.up_and_down(features, None, 1, record)
    before = dict(seen)
    z[changed] += 1.0
    model.ladder.up_and_down(features, None, 1, record)
    assert np.abs(seen[other] - before[other]).max() > 1e-6
    np.testing.assert_array_equal(seen[changed], before[changed])


def test_density_of_the_prior():
    """log p = log N(noise) - log|det dz/dnoise|, by autodiff through a sample."""
    model = make(dtype="float64", latent_channels=1)
    sizes = [int(np.prod(shape)) for shape in model.latent_shapes]
    noise = tf.constant(np.random.default_rng(0).normal(size=[sum(sizes)]))

    def latents(noise):
        parts = [tf.reshape(part, [1, *shape]) for part, shape in zip(tf.split(noise, sizes), model.latent_shapes)]
        z = [None] * len(parts)

        def draw(index, prior):
            z[index] = prior[0] + prior[1] * parts[index]
            return z[index]

        model.ladder.down(1, None, draw)
        return z

    z = latents(noise)
    jacobian = properties.jacobian(lambda noise: tf.concat([tf.reshape(part, [-1]) for part in latents(noise)], 0), noise)
    log_normal = -0.5 * np.sum(noise**2) - 0.5 * np.log(2 * np.pi) * sum(sizes)
    np.testing.assert_allclose(model.prior.log_prob(z), [log_normal - np.linalg.slogdet(jacobian)[1]], atol=1e-9)


def test_one_network_evaluation_per_flow():
    model = make(num_flows=2)
    calls = []
    for layer in model.ladder.stochastic_layers:
        for network in layer.posterior.networks:
            original = network.call
            network.call = lambda *a, original=original, **k: calls.append(1) or original(*a, **k)
    model.elbo_terms(images(2), seed=[0, 1])
    assert len(calls) == 4


def test_the_convolutions_emit_the_statistics():
    """The posteriors' own readers of features have no weights, and are never called."""
    model = make()
    for layer in model.ladder.stochastic_layers:
        assert not layer.posterior.base_layer.built
        assert layer.posterior.weights == [weight for network in layer.posterior.networks for weight in network.weights]


@pytest.mark.parametrize(
    ("inference", "num_layers", "jit_compile"),
    [
        pytest.param("bidirectional", (1, 1), False, marks=pytest.mark.long),
        pytest.param("bottom-up", (1,), True, marks=pytest.mark.long),
        ("bidirectional", (1,), False),
    ],
)
def test_recomputing_gives_the_same_gradients(inference, num_layers, jit_compile):
    results = []
    for recompute in (False, True):
        model = make(inference, dtype="float64", num_layers=num_layers, recompute=recompute)

        def gradients(model=model):
            with tf.GradientTape() as tape:
                terms = model.elbo_terms(images(2), num_samples=2, seed=[0, 1], training=True)
                loss = tf.reduce_mean(terms["kl"] - terms["reconstruction"])
            return tape.gradient(loss, [weight.value for weight in model.trainable_weights])

        results.append(tf.function(gradients, jit_compile=jit_compile)() if recompute else gradients())
    for ours, other in zip(*results):
        assert np.abs(ours).max() > 0
        np.testing.assert_allclose(ours, other, rtol=1e-9, atol=1e-9)


def test_a_deep_model_without_weight_normalization_starts_near_its_prior():
    model = make(num_layers=(10,), weight_norm=False, trained=False)
    terms = model.elbo_terms(images(4), seed=[0, 1])
    assert 0.0 < float(tf.reduce_mean(terms["kl"])) < 1e3
