"""The flow prior, and what it shares with a flow posterior: section 4.4 of the paper."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties, reference
from tfp_iaf import VAE, priors, serving
from tfp_iaf.posteriors import IAF, DiagonalGaussian

X = (np.random.default_rng(0).random([64, 6]) < 0.4).astype(np.float32)


def built(**kwargs):
    prior = priors.AutoregressiveFlow(hidden_units=(8, 8), dtype="float64", **kwargs)
    prior.build((3,))
    properties.randomize(prior)
    return prior


def test_the_density_equals_the_reference():
    prior = built()
    z = np.random.default_rng(0).normal(size=[5, 3])
    for row, log_prob in zip(z, prior.log_prob(z)):
        eps, expected = row, 0.0
        for network, order in zip(prior.networks, ([1, 2, 3], [3, 2, 1])):
            eps, log_det = reference.iaf_forward(reference.weights_of(network), order, eps, None, "affine")
            expected += log_det
        expected += -0.5 * np.sum(eps**2 + np.log(2.0 * np.pi))
        np.testing.assert_allclose(log_prob, expected, atol=1e-10)


def test_the_temperature_scales_the_base_noise():
    prior = built()
    noise = {}
    for temperature in (0.5, 1.0):
        noise[temperature] = prior.sample(20, 1, temperature)
        for flow in prior._flows(None):
            noise[temperature] = flow.forward(noise[temperature])
    np.testing.assert_allclose(noise[0.5], 0.5 * noise[1.0], atol=1e-9)


def test_a_condition_and_latents_with_places():
    prior = built(condition_size=2)
    condition = np.array([[1.0, 2.0], [0.0, 0.0]])
    z = prior.sample(2, 0, condition=condition)
    assert np.abs(prior.log_prob(z, condition=condition) - prior.log_prob(z, condition=condition[::-1])).max() > 1e-3
    assert prior.log_prob(tf.stack([z, z, z]), condition=condition).shape == (3, 2)
    for given, message in ((None, "got none"), (np.ones([2, 3]), r"got one of shape \(2, 3\)")):
        with pytest.raises(ValueError, match=f"reads a condition of 2 numbers for each z, {message}") as error:
            prior.log_prob(z, condition=given)
        assert "\n" not in str(error.value)
    images = priors.AutoregressiveFlow(hidden_units=(8,))
    images.build((2, 2, 3))
    assert images.sample(4, 0).shape == (4, 2, 2, 3)
    assert images.log_prob(images.sample(4, 0)).shape == (4,)


@pytest.mark.parametrize(
    ("data", "message"), [(np.ones([4, 3]), "takes none: .*None"), ((np.ones([4, 3]), np.ones([4, 5])), "=5")]
)
def test_a_condition_that_the_model_does_not_give(data, message):
    def joined(size):
        return keras.Sequential(
            [keras.layers.Concatenate(), keras.layers.Dense(size)] if isinstance(data, tuple) else [keras.layers.Dense(size)]
        )

    prior = priors.AutoregressiveFlow(hidden_units=(8,), condition_size=2)
    model = VAE(joined(4), DiagonalGaussian(2), joined(3), prior=prior)
    model.compile("adam")
    with pytest.raises(ValueError, match=rf"reads a condition of 2 numbers for each z, .*{message}") as error:
        model.fit(data, verbose=0)
    assert "\n" not in str(error.value)


def model_of(posterior, decoder, prior=None):
    dense = keras.layers.Dense(5, "elu", dtype="float64")
    model = VAE(dense, posterior, decoder, prior=prior, dtype="float64")
    model.build((None, 6))
    return model


class DecoderOfFlow(keras.layers.Layer):
    """decoder(f(y)), with the flows of a prior."""

    def __init__(self, decoder, prior):
        super().__init__(dtype="float64")
        self.decoder = decoder
        self.flows_of = lambda: prior._flows(None)

    def build(self, input_shape):
        self.decoder.build(input_shape)

    def call(self, y):
        for flow in self.flows_of():
            y, _ = flow.forward_and_log_det(y)
        return self.decoder(y)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 6)


@pytest.mark.parametrize("context_size", [0, 3])
def test_section_4_4_a_flow_posterior_equals_a_flow_prior_unless_it_has_a_context(context_size):
    """Form 1: z = f(y), y ~ q0(y|x), decoder(z). Form 2: p(y) = N(f(y)) |det f'(y)|, decoder(f(y)). Equal noise."""
    posterior = IAF(3, hidden_units=(8,), context_size=context_size, seed=0, dtype="float64")
    first = model_of(posterior, keras.layers.Dense(6, dtype="float64"))
    properties.randomize(first)
    prior = priors.AutoregressiveFlow(hidden_units=(8,), dtype="float64")
    prior.build((3,))
    second = model_of(
        DiagonalGaussian(3, seed=0, dtype="float64"), DecoderOfFlow(keras.layers.Dense(6, dtype="float64"), prior), prior
    )
    networks = zip(posterior.networks, prior.networks)
    pairs = [
        *zip(first.encoder.weights, second.encoder.weights),
        *zip(first.posterior.base_layer.weights, second.posterior.base_layer.weights),
        *zip(first.decoder.weights, second.decoder.decoder.weights),
        # A context has weights that the prior lacks.
        *(pair for one, other in networks for pair in zip([w for w in one.weights if "context" not in w.path], other.weights)),
    ]
    for weight, other in pairs:
        other.assign(weight)
    ours, others = zip(*pairs)

    def bound_and_gradients(model, weights):
        with tf.GradientTape() as tape:
            terms = model.elbo_terms(X, seed=1)
            bound = terms["reconstruction"] - terms["kl"]
        return bound, tape.gradient(bound, weights)

    results = bound_and_gradients(first, ours), bound_and_gradients(second, others)
    differences = [np.abs(results[0][0] - results[1][0]).max()]
    differences += [np.abs(a - b).max() for a, b in zip(results[0][1], results[1][1])]
    if context_size:
        assert min(differences[:2]) > 1e-3
    else:
        assert max(differences) < 1e-5


def test_flow_prior_and_flow_posterior_train_in_one_model_and_one_file(tmp_path):
    keras.utils.set_random_seed(0)
    model = VAE(
        keras.layers.Dense(8, "elu"),
        IAF(3, hidden_units=(8,), seed=0),
        keras.layers.Dense(6),
        prior=priors.AutoregressiveFlow(hidden_units=(8,)),
    )
    model.build((None, 6))
    before = [weight.numpy() for weight in model.trainable_weights]
    assert sum("flow_" in weight.path for weight in model.trainable_weights) > 14
    model.compile(keras.optimizers.Adam(0.05))
    untrained = model.prior_sample(200, seed=1)
    model.fit(X, batch_size=32, epochs=15, verbose=0)
    for weight, start in zip(model.trainable_weights, before):
        assert np.abs(weight.numpy() - start).max() > 0, weight.path
    terms = model.elbo_terms(X, seed=[3, 4])
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    other = restored.elbo_terms(X, seed=[3, 4])
    serving.export(model, tmp_path / "saved")
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    served = loaded.elbo(X, tf.constant([3, 4]))
    for name in ("reconstruction", "kl"):
        np.testing.assert_array_equal(other[name], terms[name])
        np.testing.assert_allclose(served[name], terms[name][0], atol=1e-4)
    # Samples are those of the trained prior, here and there.
    z = model.prior_sample(200, seed=1)
    assert np.abs(z - untrained).max() > 1e-2
    np.testing.assert_allclose(loaded.sample(200, tf.constant([0, 1]))["z"], z, atol=1e-4)
    entropy_gap = np.mean(model.prior.log_prob(z)) - np.mean(model.prior.log_prob(untrained))
    assert entropy_gap > 0


def test_an_unknown_inverse_is_refused_where_it_is_given():
    with pytest.raises(ValueError, match=r"inverse must be one of auto, blocks, .*got 'block'"):
        priors.AutoregressiveFlow(inverse="block")
