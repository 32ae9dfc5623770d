import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tests.strategies import mirrored_strategy
from tfp_iaf import evaluation, objectives, serving
from tfp_iaf.layers import initialize_weight_normalization
from tfp_iaf.models import HierarchicalVAE

INFERENCES = ["bidirectional", "bottom-up"]
POSTERIORS = ["diagonal", "linear", "iaf"]
every_inference = pytest.mark.parametrize("inference", INFERENCES)
every_posterior = pytest.mark.parametrize("posterior", POSTERIORS)


def images(rows=6, size=8, channels=2, seed=0):
    return np.random.default_rng(seed).integers(0, 256, size=[rows, size, size, channels], dtype="uint8")


def make(inference="bidirectional", posterior="iaf", dtype="float32", trained=True, **kwargs):
    """Two resolutions, with weights away from their start."""
    keras.utils.set_random_seed(0)
    settings = {"num_layers": (1, 1), "filters": 6, "latent_channels": 2, "seed": 0, **kwargs}
    model = HierarchicalVAE((8, 8, 2), inference=inference, posterior=posterior, dtype=dtype, **settings)
    model.build((None, 8, 8, 2))
    if trained:
        properties.randomize(model, scale=1.0)
    return model


# What the model computes


@every_inference
@every_posterior
def test_log_q_is_the_density_of_the_latents(inference, posterior):
    """log q = log N(noise) - log|det dz/dnoise| of the whole stack, by autodiff; and by inverting every step."""
    model = make(inference, posterior, dtype="float64", latent_channels=1)
    x = tf.cast(images(1), tf.float64)
    sizes = [int(np.prod(shape)) for shape in model.latent_shapes]
    noise = tf.constant(np.random.default_rng(0).normal(size=[sum(sizes)]))

    def latents(noise):
        parts = [tf.reshape(part, [1, *shape]) for part, shape in zip(tf.split(noise, sizes), model.latent_shapes)]
        z, log_q, _, _ = model.ladder.up_and_down(
            x, 1, lambda index, layer, up, down: reduced(layer.sample_posterior(up, down, parts[index]))
        )
        return z, sum(tf.reduce_sum(part) for part in log_q)

    def reduced(z_and_log_q):
        return z_and_log_q[0], tf.reduce_sum(z_and_log_q[1], axis=[1, 2])

    z, log_q = latents(noise)
    jacobian = properties.jacobian(lambda noise: tf.concat([tf.reshape(part, [-1]) for part in latents(noise)[0]], 0), noise)
    log_normal = -0.5 * np.sum(noise**2) - 0.5 * np.log(2 * np.pi) * sum(sizes)
    np.testing.assert_allclose(log_q, log_normal - np.linalg.slogdet(jacobian)[1], atol=1e-9)
    np.testing.assert_allclose(model.posterior_log_prob(x, z), [log_q], atol=1e-8)


@every_inference
@every_posterior
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
        parameters = model.decode(z)
        np.testing.assert_allclose(
            terms["reconstruction"][s], model.likelihood(parameters).log_prob(tf.cast(x, tf.float64)), atol=1e-8
        )
        log_p = prior_log_prob(model, z)
        np.testing.assert_allclose(terms["kl"][s], model.posterior_log_prob(x, z) - log_p, atol=1e-8)


def prior_log_prob(model, z):
    total = 0.0

    def given(index, prior):
        nonlocal total
        noise = (z[index] - prior[0]) / prior[1]
        total += tf.reduce_sum(-0.5 * noise**2 - 0.5 * np.log(2 * np.pi) - tf.math.log(prior[1]), axis=[1, 2, 3])
        return z[index]

    model.ladder.down(len(z[0]), given)
    return total


@every_inference
def test_posteriors_depend_on_what_they_are_conditioned_on(inference):
    """Bidirectional: the lower latent's posterior moves with the higher one. Bottom-up: the higher's with the lower."""
    model = make(inference, dtype="float64")
    x = images(1)
    z = [tf.zeros([1, *shape], tf.float64) for shape in model.latent_shapes]
    changed, other = (1, 0) if inference == "bidirectional" else (0, 1)
    z[changed] += 1.0
    seen = {}

    def record(index, layer, up, down):
        loc, _, _ = layer._posterior(up, down)
        seen[index] = loc.numpy()
        return z[index], tf.zeros([1, 1], tf.float64)

    model.ladder.up_and_down(model.as_input(x), 1, record)
    before = dict(seen)
    z[changed] += 1.0
    model.ladder.up_and_down(model.as_input(x), 1, record)
    assert np.abs(seen[other] - before[other]).max() > 1e-6
    np.testing.assert_array_equal(seen[changed], before[changed])


def test_samples_of_the_prior():
    model = make()
    z, parameters = model.prior_sample(3, seed=[0, 1])
    np.testing.assert_allclose(parameters, model.decode(z), atol=1e-5)
    assert model.sample(3, [0, 1]).shape == (3, 8, 8, 2)
    cold = [model.prior_sample(2, [0, seed], temperature=0.0)[1] for seed in (1, 2)]
    np.testing.assert_array_equal(*cold)
    np.testing.assert_array_equal(model.sample(3, [0, 1]), model.sample(3, [0, 1]))


def test_log_likelihood_is_above_the_bound():
    model = make()
    bound = evaluation.elbo(model, images(4), num_samples=64, verbose=False)
    log_p = evaluation.log_likelihood(model, images(4), num_samples=256, verbose=False)
    assert (log_p > bound).all()
    assert evaluation.bits_per_dim(bound, model.data_shape).shape == (4,)


def test_one_network_evaluation_a_step():
    model = make(num_steps=2)
    calls = []
    for layer in model.ladder.latent_layers:
        for network in layer.networks:
            original = network.call
            network.call = lambda *a, original=original, **k: calls.append(1) or original(*a, **k)
    model.elbo_terms(images(2), seed=[0, 1])
    assert len(calls) == 4


# Objectives


def test_free_bits_of_the_loss():
    model = make(free_bits=0.4)
    outputs = model(images(5))
    mean_kl = outputs["kl_per_map"].numpy().mean(axis=0)
    expected = -outputs["reconstruction"].numpy().mean() + np.maximum(mean_kl, 0.4).sum()
    np.testing.assert_allclose(model.compute_loss(y_pred=outputs), expected, rtol=1e-5)


def test_soft_free_bits_follow_the_kl():
    model = make(trained=False, free_bits=100.0, soft_free_bits=True)
    model.compile(keras.optimizers.Adamax(2e-3))
    before = model.free_bits_weights.numpy()
    outputs = model(images(5))
    loss = model.compute_loss(y_pred=outputs, training=False)
    np.testing.assert_allclose(loss, -tf.reduce_mean(outputs["elbo"]), rtol=1e-5)
    np.testing.assert_array_equal(model.free_bits_weights, before)
    model.fit(images(12), batch_size=4, verbose=0)
    # Every map's KL is below the minimum: its weight falls.
    assert (model.free_bits_weights.numpy() < before).all()


@pytest.mark.parametrize(("inference", "jit_compile"), [("bottom-up", False), ("bidirectional", True)])
def test_recomputing_gives_the_same_gradients(inference, jit_compile):
    results = []
    for recompute in (False, True):
        model = make(inference, dtype="float64", recompute=recompute)

        @tf.function(jit_compile=jit_compile)
        def gradients(model=model):
            with tf.GradientTape() as tape:
                terms = model.elbo_terms(images(2), num_samples=2, seed=[0, 1], training=True)
                loss = tf.reduce_mean(terms["kl"] - terms["reconstruction"])
            return tape.gradient(loss, [weight.value for weight in model.trainable_weights])

        results.append(gradients())
    for ours, other in zip(*results):
        assert np.abs(ours).max() > 0
        np.testing.assert_allclose(ours, other, rtol=1e-9, atol=1e-9)


# As a Keras model


@pytest.mark.parametrize(
    ("inference", "posterior", "jit_compile"),
    [
        ("bottom-up", "diagonal", False),
        ("bidirectional", "linear", False),
        ("bottom-up", "iaf", False),
        ("bidirectional", "iaf", True),
    ],
)
def test_fit_improves_the_bound(inference, posterior, jit_compile):
    model = make(inference, posterior, trained=False, free_bits=0.1)
    x = np.tile(images(1), [32, 1, 1, 1])
    initialize_weight_normalization(model, x + images(32) // 32)
    model.compile(keras.optimizers.Adamax(1e-2), jit_compile=jit_compile)
    before = model.evaluate(x, verbose=0, return_dict=True)["elbo"]
    model.fit(x, batch_size=16, epochs=8, verbose=0)
    assert model.evaluate(x, verbose=0, return_dict=True)["elbo"] > before + 20.0


@every_inference
def test_keras_file_round_trip(inference, tmp_path):
    model = make(inference, num_steps=2, flow_filters=(4, 4), free_bits=0.2, soft_free_bits=True)
    model.compile(keras.optimizers.Adamax(1e-3))
    model.fit(images(8), batch_size=4, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    for ours, other in zip(model(images(3)).values(), loaded(images(3)).values()):
        # The noise goes on where it was, too.
        np.testing.assert_allclose(ours, other, rtol=1e-5)


@every_inference
def test_served_signatures_equal_the_model(inference, tmp_path):
    model = make(inference)
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


def test_a_resumed_run_with_averaged_weights_equals_an_unbroken_one(tmp_path):
    def fit(epochs, path=None):
        model = make(trained=False)
        model.compile(keras.optimizers.Adamax(2e-3, use_ema=True, ema_momentum=0.9))
        callbacks = [] if path is None else [keras.callbacks.BackupAndRestore(path)]
        model.fit(images(8), batch_size=4, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)
        return model

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    unbroken = fit(3)
    broken = make(trained=False)
    broken.compile(keras.optimizers.Adamax(2e-3, use_ema=True, ema_momentum=0.9))
    callbacks = [keras.callbacks.BackupAndRestore(tmp_path), Stop()]
    with pytest.raises(KeyboardInterrupt):
        broken.fit(images(8), batch_size=4, epochs=3, shuffle=False, verbose=0, callbacks=callbacks)
    resumed = fit(3, tmp_path)
    variables = unbroken.weights + unbroken.optimizer.variables
    assert len(variables) > 2 * len(unbroken.trainable_variables)
    for ours, other in zip(resumed.weights + resumed.optimizer.variables, variables):
        np.testing.assert_array_equal(ours.numpy(), other.numpy())


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_densities_in_float32(policy):
    model = make(dtype=policy, trained=False)
    model.compile(keras.optimizers.Adamax(1e-3))
    history = model.fit(images(8), batch_size=4, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    terms = model.elbo_terms(images(2), seed=[0, 1])
    assert {tensor.dtype for tensor in tf.nest.flatten(terms)} == {tf.float32}


@pytest.mark.parametrize(
    "settings", [{"patch_size": 1}, {"num_layers": (1, 1, 1), "patch_size": 2}, {"num_layers": (3,)}], ids=str
)
def test_other_shapes_train_with_several_samples(settings):
    keras.utils.set_random_seed(0)
    model = HierarchicalVAE(
        (8, 16, 1), **{"num_layers": (1,), "filters": 4, "latent_channels": 2, "num_samples": 2, **settings}
    )
    model.compile(keras.optimizers.Adamax(1e-2))
    x = np.random.default_rng(0).integers(0, 256, size=[5, 8, 16, 1], dtype="uint8")
    # An uneven last batch, too.
    assert np.isfinite(model.fit(x, batch_size=4, verbose=0).history["loss"]).all()
    assert model.reconstruct(x).shape == x.shape


@pytest.mark.parametrize("free_bits", [0.0, 0.2])
def test_sample_weights(free_bits):
    """An image of weight 0 counts for nothing, in the KL with free bits either."""
    model = make(free_bits=free_bits)
    outputs = model(images(4))
    weight = np.array([1.0, 0.0, 2.0, 0.0], np.float32)
    kept = {name: tf.repeat(value[::2], [1, 2], axis=0) for name, value in outputs.items()}
    # Three images' worth, over a batch of four.
    kl = kept["kl_per_map"].numpy().sum(axis=0) / 4
    expected = -kept["reconstruction"].numpy().sum() / 4 + np.maximum(kl, free_bits).sum()
    if not free_bits:
        expected = -kept["elbo"].numpy().sum() / 4
    for given in (weight, weight[:, np.newaxis]):
        np.testing.assert_allclose(model.compute_loss(y_pred=outputs, sample_weight=given), expected, rtol=1e-5)


def test_replicas_draw_noise_of_their_own_and_share_their_weights():
    strategy = mirrored_strategy()
    with strategy.scope():
        model = make(free_bits=100.0, soft_free_bits=True, trained=False)
        model.compile(keras.optimizers.Adamax(1e-3))
    initialize_weight_normalization(model, images(8))
    noise = strategy.run(tf.function(lambda: model._noise(2, None)[0])).values
    assert np.abs(noise[0] - noise[1]).max() > 0.1
    model.fit(images(8), batch_size=4, verbose=0)
    copies = strategy.experimental_local_results(model.free_bits_weights.value)
    for replica in copies:
        np.testing.assert_allclose(replica, 1.1**-2, rtol=1e-5)


def test_binary_images():
    keras.utils.set_random_seed(0)
    model = HierarchicalVAE((8, 8, 1), num_layers=(2,), filters=6, latent_channels=2, likelihood="bernoulli")
    model.compile(keras.optimizers.Adamax(1e-2))
    x = (images(16, channels=1) > 127).astype("float32")
    model.fit(x, batch_size=8, verbose=0)
    assert 0.0 < np.min(model.sample(2, [0, 1])) < np.max(model.sample(2, [0, 1])) < 1.0
    with pytest.raises(ValueError, match="0 or 1"):
        model.fit(images(4, channels=1))


def test_a_deep_model_without_weight_normalization_starts_near_its_prior():
    model = make(num_layers=(10,), weight_norm=False, trained=False)
    terms = model.elbo_terms(images(4), seed=[0, 1])
    assert 0.0 < float(tf.reduce_mean(terms["kl"])) < 1e3


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
        ({"num_layers": (1, 0)}, "number in num_layers must be a positive integer"),
        ({"inference": "sideways"}, "expected one of bidirectional, bottom-up"),
        ({"posterior": "planar"}, "expected one of diagonal, linear, iaf"),
        ({"likelihood": "normal"}, "expected one of bernoulli, discretized_logistic"),
        ({"free_bits": -1.0}, "free_bits must be a number of at least 0"),
        ({"free_bits": np.nan}, "free_bits must be a number of at least 0"),
        ({"soft_free_bits": True}, "needs a lambda"),
        ({"flow_filters": 8}, "flow_filters must be a sequence"),
        ({"posterior": "diagonal", "bijector_fn": "cubic"}, "Unknown bijector_fn"),
        ({"filters": 0}, "filters must be a positive integer"),
        ({"bijector_fn": "cubic"}, "Unknown bijector_fn"),
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
    with pytest.raises(ValueError, match=r"z_1 ... z_L of shapes"):
        model.decode([np.zeros([1, 4, 4, 2])])
    with pytest.raises(ValueError, match="for 2 images"):
        model.posterior_log_prob(images(2), model.posterior_sample(images(3))[0])
    with pytest.raises(ValueError, match=r"seed must be .* shape \[2\]"):
        model.sample(2, seed=1)
    with pytest.raises(ValueError, match=r"examples of shape \(8, 8, 2\)"):
        model.fit(tf.data.Dataset.from_tensors(images(4, size=4)), verbose=0)
    with pytest.raises(ValueError, match="integers from 0 to 255"):
        initialize_weight_normalization(model, images(4) / 255.0)


def test_free_bits_of_objectives_have_no_gradient_below_the_minimum():
    kl = tf.constant([[[0.1, 2.0], [0.3, 4.0]]])
    with tf.GradientTape() as tape:
        tape.watch(kl)
        value = objectives.free_bits(kl, 0.5)
    np.testing.assert_allclose(value, 3.5)
    np.testing.assert_allclose(tape.gradient(value, kl), [[[0.0, 0.5], [0.0, 0.5]]])
