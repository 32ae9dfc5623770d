import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties
from tfp_iaf import VAE, evaluation, serving
from tfp_iaf.posteriors import ConvIAF

tfd = tfp.distributions
LATENT_SHAPE = (3, 4, 2)


def make(dtype="float64", **kwargs):
    posterior = ConvIAF(LATENT_SHAPE, **{"num_steps": 2, "filters": (6,), "seed": 0, **kwargs}, dtype=dtype)
    posterior.build((None, 3, 4, 5))
    properties.randomize(posterior)
    return posterior


def features(rows=3, dtype="float64"):
    return np.random.default_rng(0).normal(size=[rows, 3, 4, 5]).astype(dtype)


VARIANTS = {
    "affine": {},
    "gated": {"bijector_fn": "gated"},
    "location": {"bijector_fn": "location"},
    "linear": {"filters": (), "bijector_fn": "location"},
    "no context": {"context_channels": 0},
    "residual": {"filters": (6, 6), "residual": True, "kernel_size": (3, 5)},
}


@pytest.mark.parametrize("kwargs", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("num_samples", [None, 2])
def test_log_q_equals_the_log_prob_of_the_distribution(kwargs, num_samples):
    posterior = make(**kwargs)
    z, log_q = posterior(features(), num_samples=num_samples)
    leading = () if num_samples is None else (num_samples,)
    assert z.shape == (*leading, 3, *LATENT_SHAPE)
    distribution = posterior.distribution(features())
    assert isinstance(distribution, tfd.TransformedDistribution)
    assert (distribution.batch_shape, distribution.event_shape) == ([3], list(LATENT_SHAPE))
    properties.check_sample_density(distribution, z, log_q, atol=1e-8)
    np.testing.assert_allclose(posterior.log_prob(features(), z), log_q, atol=1e-8)


def test_every_latent_may_depend_on_every_other():
    """Two steps in opposite orders: the chain's Jacobian is dense where the receptive field of all layers reaches."""
    posterior = make(kernel_size=5)
    _, _, steps = posterior._base_and_steps(features(1))
    assert [step.network.input_order for step in steps] == ["left-to-right", "right-to-left"]

    def chain(y):
        for step in steps:
            y, _ = step.forward_and_log_det(y)
        return y

    y = np.random.default_rng(1).normal(size=[1, *LATENT_SHAPE])
    assert (properties.jacobian(chain, y) != 0).mean() > 0.95


def test_a_vae_is_trained_saved_and_served(tmp_path):
    keras.utils.set_random_seed(0)
    model = VAE(
        keras.layers.Conv2D(5, 3, padding="same"),
        ConvIAF(LATENT_SHAPE, filters=(6,)),
        keras.Sequential([keras.layers.Conv2D(1, 3, padding="same")]),
    )
    x = (np.random.default_rng(0).random([1, 3, 4, 1]) < 0.5).astype("float32").repeat(64, axis=0)
    model.compile(keras.optimizers.Adamax(1e-2), jit_compile=True)
    history = model.fit(x, batch_size=16, epochs=20, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0] + 1.0
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.posterior.get_config() == model.posterior.get_config()
    for name, value in model.elbo_terms(x[:4], seed=[0, 1]).items():
        np.testing.assert_allclose(loaded.elbo_terms(x[:4], seed=[0, 1])[name], value, atol=1e-5)
    estimates = evaluation.log_likelihood(model, x[:4], num_samples=16, verbose=False)
    assert np.isfinite(estimates).all()
    serving.export(model, tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served"))
    z, log_q = model.posterior_sample(x[:4], seed=[0, 1])
    np.testing.assert_allclose(served.posterior_log_prob(x[:4], z)["log_prob"], log_q, atol=1e-3)
    np.testing.assert_allclose(served.encode(x[:4], [0, 1])["log_q"], log_q, atol=1e-4)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ConvIAF(8), r"latent_shape must be \(H, W, C\)"),
        (lambda: ConvIAF((4, 0, 2)), "size in latent_shape must be a positive integer"),
        (lambda: ConvIAF(LATENT_SHAPE, bijector_fn="cubic"), "Unknown bijector_fn"),
        (lambda: make()(features()[:, :2]), r"features of shape \[batch, 3, 4, maps\]"),
        (lambda: make().log_prob(features(), np.zeros([3, 3, 4, 1])), r"z of shape \[..., 3, 4, 2\]"),
        (lambda: make()(np.zeros([3, 5])), r"features of shape \[batch, 3, 4, maps\]"),
        (
            lambda: VAE(keras.layers.Flatten(), ConvIAF(LATENT_SHAPE), keras.layers.Dense(1)).build((None, 3, 4, 1)),
            "encoder does not fit the posterior",
        ),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()
