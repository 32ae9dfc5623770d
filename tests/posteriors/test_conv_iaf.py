import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tfp_iaf import VAE, evaluation, serving
from tfp_iaf.posteriors import ConvIAF

LATENT_SHAPE = (3, 4, 2)


def features(rows=3, places=(3, 4)):
    return np.random.default_rng(0).normal(size=[rows, *places, 5])


def make(latent_shape=LATENT_SHAPE, **kwargs):
    posterior = ConvIAF(latent_shape, **{"filters": (6,), "seed": 0, **kwargs}, dtype="float64")
    posterior.build((None, *latent_shape[:-1], 5))
    properties.randomize(posterior)
    return posterior


@pytest.mark.parametrize("latent_shape", [LATENT_SHAPE, (6, 2)], ids=["maps", "series"])
def test_every_latent_may_depend_on_every_other(latent_shape):
    """Two flows in opposite orders: the chain's Jacobian is dense where the receptive field of all layers reaches."""
    posterior = make(latent_shape, kernel_size=7, bijector_fn="location")
    _, _, flow_inputs = posterior.read(features(1, latent_shape[:-1]))

    def chain(y):
        for flow in posterior.flows(flow_inputs):
            y, _ = flow.forward_and_log_det(y)
        return y

    y = np.random.default_rng(1).normal(size=[1, *latent_shape])
    jacobian = properties.jacobian(chain, y)
    assert (jacobian != 0).mean() > 0.95
    assert abs(np.linalg.slogdet(jacobian)[1]) < 1e-9


def test_the_context_reaches_the_density():
    z = np.random.default_rng(1).normal(size=[3, *LATENT_SHAPE])
    for channels, moves in ((0, False), (4, True)):
        posterior = make(context_channels=channels)
        assert posterior.context_channels == channels
        _, _, flow_inputs = posterior.read(features())
        ours = [posterior.flows(inputs) for inputs in ([None] if channels == 0 else [flow_inputs, flow_inputs + 1.0])]
        values = [flows[0].forward(z).numpy() for flows in ours]
        assert (np.abs(values[0] - values[-1]).max() > 1e-3) == moves


def test_a_vae_is_trained_saved_and_served(tmp_path):
    keras.utils.set_random_seed(0)
    model = VAE(
        keras.layers.Conv2D(5, 3, padding="same"),
        ConvIAF(LATENT_SHAPE, filters=(6,)),
        keras.Sequential([keras.layers.Conv2D(1, 3, padding="same")]),
    )
    x = (np.random.default_rng(0).random([1, 3, 4, 1]) < 0.5).astype("float32").repeat(64, axis=0)
    model.compile(keras.optimizers.Adamax(1e-2))
    history = model.fit(x, batch_size=16, epochs=15, verbose=0).history
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
        (lambda: ConvIAF(8), r"latent_shape must be .*\(H, W, C\) or \(T, C\)"),
        (lambda: ConvIAF((8,)), r"latent_shape must be .*\(H, W, C\) or \(T, C\)"),
        (lambda: ConvIAF((4, 0, 2)), "number in latent_shape must be a positive integer"),
        (lambda: ConvIAF(LATENT_SHAPE, filters=6), "must be a sequence of widths"),
        (lambda: ConvIAF(LATENT_SHAPE, context_channels=-1), "context_channels must be a non-negative integer"),
        (lambda: ConvIAF(LATENT_SHAPE, bijector_fn="cubic"), "bijector_fn must be one of"),
        (lambda: ConvIAF(LATENT_SHAPE, input_order="random"), "input_order must be one of left-to-right"),
        (lambda: make()(features()[:, :2]), r"features of shape \[batch, 3, 4, 5\]"),
        (lambda: make().log_prob(features(), np.zeros([3, 3, 4, 1])), r"z of shape \[..., 3, 3, 4, 2\]"),
        (lambda: make()(np.zeros([3, 5])), r"features of shape \[batch, 3, 4, 5\]"),
        (lambda: make((6, 2))(np.zeros([3, 5, 5])), r"features of shape \[batch, 6, 5\]"),
        (
            lambda: VAE(keras.layers.Flatten(), ConvIAF(LATENT_SHAPE), keras.layers.Dense(1)).build((None, 3, 4, 1)),
            "encoder does not fit the posterior",
        ),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message) as error:
        build()
    assert "\n" not in str(error.value)
