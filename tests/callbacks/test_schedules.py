import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf import VAE, KLWarmUp
from tfp_iaf.callbacks import FreeEnergyAnnealing
from tfp_iaf.models import ConditionalDensity, ElboModel
from tfp_iaf.posteriors import DiagonalGaussian

X = (np.random.default_rng(0).random([96, 6]) < 0.5).astype(np.uint8)


def make():
    model = VAE(keras.layers.Dense(8), DiagonalGaussian(2, seed=0), keras.layers.Dense(6))
    model.compile(keras.optimizers.Adam(5e-3))
    return model


def fit(model, epochs=2, **kwargs):
    return model.fit(X, batch_size=32, epochs=epochs, verbose=0, **kwargs).history


def watch(seen, model):
    return keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(float(model.kl_weight)))


def test_moves_the_weight_and_the_training_loss_but_no_evaluation():
    model, seen = make(), []
    history = fit(model, callbacks=[KLWarmUp(4), watch(seen, model)], validation_data=X)
    np.testing.assert_allclose(seen, [0.0, 0.25, 0.5, 0.75, 1.0, 1.0])
    assert history["loss"][0] < -history["elbo"][0] - 1e-3
    np.testing.assert_allclose(history["val_loss"], np.negative(history["val_elbo"]), rtol=1e-5)


def test_a_beta_vae():
    model, seen = make(), []
    history = fit(model, callbacks=[KLWarmUp(2, end=4.0), watch(seen, model)], validation_data=X)
    np.testing.assert_allclose(seen, [0.0, 2.0, 4.0, 4.0, 4.0, 4.0])
    np.testing.assert_allclose(history["loss"][1], 4.0 * history["kl"][1] - history["reconstruction"][1], rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], np.negative(history["val_elbo"]), rtol=1e-5)


def test_a_warm_up_leaves_nothing_behind(tmp_path):
    """Neither one that is under way when `fit` ends, nor one that is interrupted, nor restored weights."""
    model = make()
    early = keras.callbacks.EarlyStopping("val_loss", restore_best_weights=True)
    with pytest.warns(UserWarning, match=r"fit ended at step \d, before KLWarmUp with num_steps=1000 did"):
        fit(model, callbacks=[KLWarmUp(1000), early], validation_data=X)
    assert float(model.kl_weight) == 1.0

    def interrupt(batch, logs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, callbacks=[KLWarmUp(1000), keras.callbacks.LambdaCallback(on_train_batch_end=interrupt)])
    assert float(model.kl_weight) == 1.0
    model.kl_weight.assign(0.3)
    model.save(tmp_path / "model.keras")
    assert float(keras.models.load_model(tmp_path / "model.keras").kl_weight) == 1.0
    history = fit(model)
    np.testing.assert_allclose(history["loss"], np.negative(history["elbo"]), rtol=1e-5)
    assert not any("kl_weight" in weight.path for weight in model.weights)


def test_a_resumed_run_goes_on(tmp_path):
    model, seen = make(), []
    with pytest.warns(UserWarning, match=r"at step 3, .* the last KL weight was 0.17"):
        fit(model, epochs=1, callbacks=[KLWarmUp(12)])
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    with pytest.warns(UserWarning, match=r"at step 6, .* the last KL weight was 0.42"):
        fit(restored, epochs=1, callbacks=[KLWarmUp(12), watch(seen, restored)])
    np.testing.assert_allclose(seen, [3 / 12, 4 / 12, 5 / 12])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "num_steps"),
        ((1.5,), "num_steps"),
        ((10, 2.0), "start"),
        ((10, float("nan")), "start"),
        ((10, True), "start"),
        ((10, 0.0, 0.0), "end"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        KLWarmUp(*arguments)


def test_a_model_without_a_kl():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="KL weight of a model"):
        model.fit(np.ones([4, 2]), np.ones([4, 1]), verbose=0, callbacks=[KLWarmUp(3)])
    density = ConditionalDensity(keras.layers.Dense(2), DiagonalGaussian(1))
    density.compile("sgd")
    with pytest.raises(ValueError, match="has no KL term"):
        density.fit((np.ones([4, 1]), np.ones([4, 2])), verbose=0, callbacks=[KLWarmUp(3)])
    own = WithoutLatents()
    own.compile("sgd")
    with pytest.raises(ValueError, match=r"has no KL term .* since it has no latents") as error:
        own.fit(np.ones([4, 2]), verbose=0, callbacks=[KLWarmUp(3)])
    assert "\n" not in str(error.value)


class WithoutLatents(ElboModel):
    has_latents = False

    def __init__(self):
        super().__init__()
        self.shift = self.add_weight(shape=(), initializer="zeros")

    def elbo_terms(self, x, num_samples=1, seed=None, training=None):
        reconstruction = tf.reduce_sum(self.as_input(x) - self.shift, axis=-1)[tf.newaxis]
        return {"reconstruction": reconstruction, "kl": tf.zeros_like(reconstruction)}


@pytest.mark.parametrize(
    "schedules",
    [
        [FreeEnergyAnnealing(10), KLWarmUp(10)],
        [KLWarmUp(10), FreeEnergyAnnealing(10)],
        [KLWarmUp(10), KLWarmUp(20)],
        [FreeEnergyAnnealing(10), FreeEnergyAnnealing(10)],
    ],
    ids=lambda schedules: " and ".join(type(schedule).__name__ for schedule in schedules),
)
def test_two_schedules_of_one_term_are_refused_in_the_first_batch(schedules):
    with pytest.raises(ValueError, match=r"Two callbacks anneal the same term: .* Use one of them"):
        make().fit(X, batch_size=96, verbose=0, callbacks=schedules)


def test_a_schedule_refuses_what_sets_its_weight_between_batches():
    model = make()
    other = keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_, **__: model.kl_weight.assign(0.7))
    with pytest.raises(ValueError, match=r"kl_weight is 0.7, and was left at 0"):
        model.fit(X, batch_size=16, verbose=0, callbacks=[KLWarmUp(10), other])
