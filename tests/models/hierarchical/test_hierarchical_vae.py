"""The hierarchical VAE as a Keras model."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties
from tests.models.hierarchical.models import images, make, make_small
from tests.strategies import mirrored_strategy
from tfp_iaf import evaluation, likelihoods, objectives, serving
from tfp_iaf.layers import initialize_weight_normalization
from tfp_iaf.models import HierarchicalVAE

tfd = tfp.distributions
every_inference = pytest.mark.parametrize("inference", ["bidirectional", "bottom-up"])


# Samples, decoding, encoding


def test_samples_of_the_prior():
    model = make()
    z = model.prior_sample(3, seed=[0, 1])
    np.testing.assert_allclose(model.mean(z), model.sample(3, [0, 1]), atol=1e-3)
    np.testing.assert_allclose(model.mean(z), model.likelihood.mean(model.decode(z)), atol=1e-3)
    np.testing.assert_array_equal(z[1], model.prior.sample(3, tf.constant([0, 1]))[1])
    cold = [model.sample(2, [0, seed], temperature=1e-8) for seed in (1, 2)]
    np.testing.assert_allclose(*cold, atol=1e-2)


def test_equal_seeds_give_equal_numbers():
    model, x = make(), images(2)
    methods = (
        lambda seed: model.sample(2, seed),
        lambda seed: model.reconstruct(x, seed),
        lambda seed: model.posterior_sample(x, seed)[1],
        lambda seed: model.elbo_terms(x, seed=seed)["kl"],
    )
    for method in methods:
        np.testing.assert_array_equal(method(7), method([0, 7]))
        assert np.abs(method(7) - method([7, 0])).max() > 1e-3


def test_reconstructions_are_means_of_posterior_samples():
    model, x = make(), images(2)
    z, log_q = model.posterior_sample(x, seed=3)
    np.testing.assert_allclose(model.reconstruct(x, seed=3), model.mean(z), atol=1e-2)
    np.testing.assert_allclose(model.posterior_log_prob(x, z), log_q, atol=1e-3)


def test_features_are_all_that_the_posterior_reads_of_an_image():
    model = make()
    assert model.encode(images(3)).shape == (3, 4, 4, 6)
    assert np.abs(model.encode(images(1)) - model.encode(images(1, seed=1))).max() > 1e-3


def test_latents_at_the_mean():
    """Those of a diagonal posterior in one layer are the mean of its samples."""
    model = make(posterior="diagonal", num_layers=(1,))
    (z,) = model.encode_mean(images(1))
    (samples,) = model.elbo_terms(images(1), num_samples=4000, seed=0)["z"]
    np.testing.assert_array_equal(model.encode_mean(images(1))[0], z)
    deviation = np.std(samples, axis=0)
    assert np.abs((np.mean(samples, axis=0) - z) / deviation).max() < 5.0 / np.sqrt(4000)


def test_log_likelihood_is_above_the_bound():
    model = make(num_layers=(1,))
    bound = evaluation.elbo(model, images(4), num_samples=32, verbose=False)
    log_p = evaluation.log_likelihood(model, images(4), num_samples=128, verbose=False)
    assert (log_p > bound).all()
    assert evaluation.bits_per_dim(bound, model.data_shape).shape == (4,)


# Objectives


def test_free_bits_of_the_loss():
    model = make(free_bits=0.4)
    outputs = model(images(5))
    mean_kl = outputs["kl_per_map"].numpy().mean(axis=0)
    expected = -outputs["reconstruction"].numpy().mean() + np.maximum(mean_kl, 0.4).sum()
    np.testing.assert_allclose(model.compute_loss(y_pred=outputs), expected, rtol=1e-5)


def test_soft_free_bits_follow_the_kl():
    model = make_small(free_bits=100.0, soft_free_bits=True)
    model.compile(keras.optimizers.Adamax(2e-3), run_eagerly=True)
    before = model.free_bits_weights.numpy()
    model.fit(images(12), batch_size=4, verbose=0)
    # Every map's KL is below the minimum: its weight falls.
    after = model.free_bits_weights.numpy()
    assert (after < before).all()
    # The loss of an evaluation does not depend on them, and does not move them.
    outputs = model(images(5))
    np.testing.assert_allclose(model.compute_loss(y_pred=outputs, training=False), -tf.reduce_mean(outputs["elbo"]), rtol=1e-5)
    np.testing.assert_array_equal(model.free_bits_weights, after)


def test_free_bits_have_no_gradient_below_the_minimum():
    kl = tf.constant([[[0.1, 2.0], [0.3, 4.0]]])
    with tf.GradientTape() as tape:
        tape.watch(kl)
        value = objectives.free_bits(kl, 0.5)
    np.testing.assert_allclose(value, 3.5)
    np.testing.assert_allclose(tape.gradient(value, kl), [[[0.0, 0.5], [0.0, 0.5]]])


# As a Keras model


@pytest.mark.parametrize(
    ("inference", "posterior", "jit_compile"),
    [
        pytest.param("bottom-up", "diagonal", True, marks=pytest.mark.long),
        pytest.param("bidirectional", "linear", False, marks=pytest.mark.long),
        pytest.param("bidirectional", "iaf", True, marks=pytest.mark.long),
        ("bottom-up", "iaf", False),
    ],
)
def test_fit_improves_the_bound(inference, posterior, jit_compile):
    model = make_small(inference=inference, posterior=posterior, free_bits=0.1)
    x = np.tile(images(1), [32, 1, 1, 1])
    initialize_weight_normalization(model, x + images(32) // 32)
    model.compile(keras.optimizers.Adamax(1e-2), jit_compile=jit_compile)
    history = model.fit(x, batch_size=16, epochs=8, verbose=0).history["elbo"]
    assert history[-1] > history[0] + 20.0


def test_keras_file_round_trip(tmp_path):
    model = make_small(num_flows=2, flow_filters=(4, 4), bijector_fn="gated", free_bits=0.2, soft_free_bits=True)
    model.compile(keras.optimizers.Adamax(1e-3))
    model.fit(images(8), batch_size=4, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    for ours, other in zip(model(images(3)).values(), loaded(images(3)).values()):
        # The noise goes on where it was, too.
        np.testing.assert_allclose(ours, other, rtol=1e-5)


def test_served_signatures_equal_the_model(tmp_path):
    model = make(filters=4)
    serving.export(model, tmp_path / "saved")
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    seed = tf.constant([4, 2])
    for rows in (1, 5):
        x = images(rows).astype("float32")
        z, log_q = model.posterior_sample(x, seed)
        encoded = loaded.encode(x, seed)
        for ours, served in zip(z, (encoded["z_1"], encoded["z_2"])):
            np.testing.assert_allclose(served, ours, atol=1e-4)
        np.testing.assert_allclose(encoded["log_q"], log_q, atol=1e-3)
        named = {"z_1": z[0], "z_2": z[1]}
        served = loaded.signatures["posterior_log_prob"](x=tf.constant(x), **named)["log_prob"]
        np.testing.assert_allclose(served, log_q, atol=1e-3)
        np.testing.assert_allclose(loaded.signatures["decode"](**named)["parameters"], model.decode(z), atol=1e-4)
        terms = model.elbo_terms(x, seed=seed)
        np.testing.assert_allclose(loaded.elbo(x, seed)["elbo"], (terms["reconstruction"] - terms["kl"])[0], rtol=1e-4)
    np.testing.assert_allclose(loaded.sample(3, seed)["mean"], model.sample(3, seed), atol=1e-2)
    assert loaded.log_likelihood(x, 8, seed)["log_likelihood"].shape == (5,)


def by_weights_file(model, tmp_path):
    twin = make(trained=False)
    model.save_weights(tmp_path / "model.weights.h5")
    twin.load_weights(tmp_path / "model.weights.h5")
    return twin


def by_cloning(model, tmp_path):
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    return twin


@pytest.mark.parametrize("copied", [by_weights_file, by_cloning, lambda model, tmp_path: copy.deepcopy(model)])
def test_copies_equal_the_model_and_share_nothing(copied, tmp_path):
    model, x = make(), images(3)
    twin = copied(model, tmp_path)
    kl = model.elbo_terms(x, seed=[0, 1])["kl"]
    np.testing.assert_array_equal(twin.elbo_terms(x, seed=[0, 1])["kl"], kl)
    properties.randomize(twin, scale=1.0, seed=1)
    np.testing.assert_array_equal(model.elbo_terms(x, seed=[0, 1])["kl"], kl)


def test_mixed_precision_several_samples_and_an_uneven_last_batch():
    """Densities stay in float32."""
    model = make_small(dtype="mixed_float16", num_samples=2)
    model.compile(keras.optimizers.Adamax(1e-3), run_eagerly=True)
    history = model.fit(images(5), batch_size=4, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    terms = model.elbo_terms(images(2), seed=[0, 1])
    assert {tensor.dtype for tensor in tf.nest.flatten(terms)} == {tf.float32}


@pytest.mark.parametrize("settings", [{"patch_size": 1}, {"num_layers": (1, 1, 1)}, {"num_layers": (3,)}], ids=str)
@every_inference
def test_other_shapes(inference, settings):
    settings = {"num_layers": (1,), "filters": 4, "latent_channels": 2, "inference": inference, **settings}
    model = HierarchicalVAE((8, 16, 1), **settings)
    x = np.random.default_rng(0).integers(0, 256, size=[3, 8, 16, 1], dtype="uint8")
    assert np.isfinite(model.elbo_terms(x, num_samples=2)["kl"]).all()
    assert model.reconstruct(x).shape == x.shape


@pytest.mark.parametrize("free_bits", [0.0, 0.2])
def test_sample_weights(free_bits):
    """An image of weight 0 counts for nothing, in the KL with free bits either."""
    model = make(free_bits=free_bits)
    outputs = model(images(4))
    weight = np.array([1.0, 0.0, 2.0, 0.0], np.float32)
    kept = {name: tf.repeat(value[::2], [1, 2], axis=0) for name, value in outputs.items()}
    # Three images' worth, over a batch of four. The free bits are those of an image.
    kl = kept["kl_per_map"].numpy().sum(axis=0) / 3
    expected = -kept["reconstruction"].numpy().sum() / 4 + 0.75 * np.maximum(kl, free_bits).sum()
    if not free_bits:
        expected = -kept["elbo"].numpy().sum() / 4
    for given in (weight, weight[:, np.newaxis]):
        np.testing.assert_allclose(model.compute_loss(y_pred=outputs, sample_weight=given), expected, rtol=1e-5)


@pytest.mark.long
def test_replicas_draw_noise_of_their_own_and_share_their_weights():
    strategy = mirrored_strategy()
    with strategy.scope():
        model = make_small(free_bits=100.0, soft_free_bits=True)
        model.compile(keras.optimizers.Adamax(1e-3))
    initialize_weight_normalization(model, images(8))
    noise = strategy.run(tf.function(lambda: model._noise(1, tf.zeros([2, 8, 8, 2]), None)[0])).values
    assert np.abs(noise[0] - noise[1]).max() > 0.1
    model.fit(images(8), batch_size=4, verbose=0)
    copies = strategy.experimental_local_results(model.free_bits_weights.value)
    for replica in copies:
        np.testing.assert_allclose(replica, 1.1**-2, rtol=1e-5)


def test_binary_images():
    model = HierarchicalVAE((8, 8, 1), num_layers=(1,), filters=4, latent_channels=2, likelihood="bernoulli")
    model.compile(keras.optimizers.Adamax(1e-2), run_eagerly=True)
    x = (images(16, channels=1) > 127).astype("float32")
    model.fit(x, batch_size=8, verbose=0)
    samples = model.sample(2, seed=0)
    assert 0.0 < np.min(samples) < np.max(samples) < 1.0
    with pytest.raises(ValueError, match="0 or 1"):
        model.fit(images(4, channels=1))


@pytest.mark.parametrize(
    "likelihood", [likelihoods.Normal(log_scale_bound=3.0), likelihoods.Bernoulli()], ids=["normal", "bits"]
)
def test_likelihood_objects(likelihood):
    model = make(likelihood=likelihood)
    x = (images(3) > 127).astype("float32")
    terms = model.elbo_terms(x, seed=0)
    assert np.isfinite(terms["reconstruction"]).all()
    assert model.mean([z[0] for z in terms["z"]]).shape == x.shape
    twin = HierarchicalVAE.from_config(model.get_config())
    assert twin.likelihood.get_config() == likelihood.get_config()


def test_a_likelihood_that_images_do_not_fit():
    def of_rows(parameters):
        return tfd.Independent(tfd.Normal(parameters, 1.0), 1)

    with pytest.raises(ValueError, match=r"of_rows makes no distribution of images \(8, 8, 2\)"):
        make(likelihood=of_rows)


def test_weight_normalization_is_optional():
    model = make(weight_norm=False)
    with pytest.raises(ValueError, match="no WeightNormalization layer"):
        initialize_weight_normalization(model, images(4))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"image_shape": (8, 8)}, r"image_shape must be \(H, W, C\)"),
        ({"image_shape": (9, 8, 3)}, "divisible by 4"),
        ({"num_layers": 2}, "num_layers must be a sequence"),
        ({"num_layers": ()}, "a number for each resolution"),
        ({"num_layers": (1, 0)}, "number in num_layers must be a positive integer"),
        ({"inference": "sideways"}, "must be one of bidirectional, bottom-up"),
        ({"posterior": "planar"}, "must be one of diagonal, linear, iaf"),
        ({"likelihood": "poisson"}, "likelihood must be one of"),
        ({"free_bits": -1.0}, "free_bits must be a number of at least 0"),
        ({"free_bits": np.nan}, "free_bits must be a number of at least 0"),
        ({"soft_free_bits": True}, "needs a number of nats"),
        ({"flow_filters": 8}, "flow_filters must be a sequence"),
        ({"posterior": "diagonal", "bijector_fn": "gated"}, "bijector_fn would have no effect"),
        ({"posterior": "linear", "num_flows": 2, "flow_filters": (4,)}, "num_flows, flow_filters would have no effect"),
        ({"num_flows": 0}, "num_flows must be a positive integer"),
        ({"seed": 1.5}, "seed must be"),
        ({"filters": 0}, "filters must be a positive integer"),
        ({"bijector_fn": "cubic"}, "bijector_fn must be one of"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        HierarchicalVAE(**{"image_shape": (8, 8, 3), "num_layers": (1, 1), **kwargs})


def test_bad_data():
    model = make()
    model.compile(keras.optimizers.Adamax(1e-3))
    for x, message in (
        (images(4) / 255.0, "integers from 0 to 255"),
        (images(4, size=4), r"examples of shape \(8, 8, 2\)"),
        (np.full([4, 8, 8, 2], np.nan), "NaN or infinite"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(x, verbose=0)
    with pytest.raises(ValueError, match=r"examples of shape \(8, 8, 2\)"):
        model.fit(tf.data.Dataset.from_tensors(images(4, size=4)), verbose=0)
    with pytest.raises(ValueError, match="integers from 0 to 255"):
        initialize_weight_normalization(model, images(4) / 255.0)
    with pytest.raises(ValueError, match="integers from 0 to 255"):
        model.encode(images(4) / 255.0)


def test_bad_calls():
    model = make()
    z = model.prior_sample(3, seed=0)
    for call, message in (
        (lambda: model.decode([np.zeros([1, 4, 4, 2])]), r"z_1 ... z_L of shapes"),
        (lambda: model.posterior_log_prob(images(2), z), "for 2 images"),
        (lambda: model.sample(2, seed=1.5), "seed must be"),
        (lambda: model.posterior_sample(images(2), seed=[1, 2, 3]), "seed must be"),
        (lambda: model.sample(1.9, seed=0), "num_samples must be a positive integer"),
        (lambda: model.sample(2, seed=0, temperature=-1.0), "temperature must be a number of at least 0"),
        (lambda: model.sample(2, seed=0, temperature=tf.constant(-1)), "number of at least 0, got -1"),
        (lambda: model.elbo_terms(images(2), noise=z), "equal batches, got .* for 2 images"),
        (lambda: model.sample(2, seed=0, condition=np.ones([2, 3])), "takes no condition"),
        (lambda: model.decode(z, condition=np.ones([3, 3])), "takes no condition"),
        (lambda: model((images(2), np.ones([2, 3]))), "takes no condition"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_numbers_in_tensors():
    model = make()
    expected = model.sample(2, seed=0, temperature=1.0)
    for one in (tf.constant(1), tf.constant(1.0), tf.Variable(1.0)):
        np.testing.assert_array_equal(model.sample(tf.constant(2), seed=0, temperature=one), expected)
    sample = tf.function(lambda temperature: model.sample(2, seed=0, temperature=temperature))
    np.testing.assert_allclose(sample(tf.constant(1)), expected, atol=1e-2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_likelihoods_of_ones_own(dtype):
    """Half of three channels is no number, and a distribution has a dtype."""

    def logistic(parameters):
        loc, scale = tf.split(parameters, 2, axis=-1)
        return tfd.Independent(tfd.Logistic(loc, tf.nn.softplus(scale) + tf.constant(0.1, dtype)), 3)

    settings = {"image_shape": (8, 8, 3), "num_layers": (1,), "filters": 4, "latent_channels": 2, "dtype": dtype}
    model = HierarchicalVAE(**settings, likelihood=logistic)
    assert model.mean(model.prior_sample(2, seed=0)).shape == [2, 8, 8, 3]
    with pytest.raises(ValueError, match=r"or two parameters per pixel value: wrap it in tfd.Independent\."):
        HierarchicalVAE(**settings, likelihood=lambda parameters: tfd.Normal(parameters, tf.ones([], dtype)))


def test_latents_of_the_prior_are_checked():
    model = make()
    z = model.prior.sample(2, seed=0)
    for wrong in ([*z, z[0]], z[:1], z[::-1], [z[0][..., :1], *z[1:]]):
        with pytest.raises(ValueError, match="The model takes a list of z_1"):
            model.prior.log_prob(wrong)
