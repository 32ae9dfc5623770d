"""A VAE of this package, trained by `model.fit` and `model.train_on_batch`."""

import functools

import keras
import numpy as np
import tensorflow as tf

import tfp_iaf
from benchmarks.contenders import Flow, tf_timing
from benchmarks.vae_cases import NUM_EPOCHS

PACKAGES = ("tfp_iaf", "tensorflow", "tensorflow-probability", "keras")
MODES = {"XLA": True, "graph": False}


def dense_layers(case):
    return [keras.layers.Dense(size, "relu") for size in case.hidden_units]


def make(case, mode) -> Flow:
    posterior = (
        tfp_iaf.IAF(case.latent_size, case.num_flows, case.flow_hidden_units, context_size=case.context_size, activation="relu")
        if case.num_flows
        else tfp_iaf.DiagonalGaussian(case.latent_size)
    )
    encoder = keras.Sequential(dense_layers(case))
    decoder = keras.Sequential([*dense_layers(case), keras.layers.Dense(case.data_size)])
    model = tfp_iaf.VAE(encoder, posterior, decoder)
    tf_timing.use_full_precision()
    model.compile(keras.optimizers.Adamax(2e-3), jit_compile=MODES[mode])
    x = np.random.default_rng(0).integers(0, 2, size=[case.num_rows, case.data_size]).astype(np.float32)
    batch = tf.constant(x[: case.batch_size])

    def round_trip():
        features = encoder(batch)
        z, log_q = posterior(features)
        return log_q.numpy(), posterior(features, value=z).numpy()

    quantities = {
        "training step": lambda: model.train_on_batch(batch),
        "epochs": lambda: model.fit(x, batch_size=case.batch_size, epochs=NUM_EPOCHS, verbose=0),
    }
    model.build(x.shape)
    return Flow(quantities, round_trip, sum(int(np.prod(weight.shape)) for weight in model.trainable_weights))


CONTENDERS = {f"tfp_iaf {mode}": functools.partial(make, mode=mode) for mode in MODES}
