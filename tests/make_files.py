"""Writes `tests/files/`: a small file of every model, which later versions must load.

    .venv-oldest/bin/python -m tests.make_files

Run it for a new model, with the oldest Keras: an older one does not load the layers of a newer. The files of a release stay as
they are.
"""

import pathlib

import keras
import numpy as np

import tfp_iaf

__all__ = ["FOLDER", "MODELS", "answers"]

FOLDER = pathlib.Path(__file__).parent / "files"


def _dense(*units):
    return [keras.layers.Dense(size, "elu") for size in units[:-1]] + [keras.layers.Dense(units[-1])]


def _binary(rows=8, columns=12):
    return (np.random.default_rng(0).random([rows, columns]) < 0.5).astype("float32")


def _images():
    return np.random.default_rng(0).integers(0, 256, size=[4, 8, 8, 3], dtype="uint8")


def _condition(rows=8):
    return np.eye(3, dtype="float32")[np.arange(rows) % 3]


def iaf_vae():
    posterior = tfp_iaf.IAF(3, num_flows=2, hidden_units=(8, 8), bijector_fn="gated", seed=0)
    return tfp_iaf.VAE(keras.Sequential(_dense(8, 8)), posterior, keras.Sequential(_dense(8, 12))), _binary()


def conditional_vae():
    encoder = keras.Sequential([keras.layers.Concatenate(), *_dense(8, 8)])
    decoder = keras.Sequential([keras.layers.Concatenate(), *_dense(8, 12)])
    prior = tfp_iaf.priors.GaussianMixture(3)
    return tfp_iaf.VAE(encoder, tfp_iaf.FullCovariance(3, seed=0), decoder, prior=prior), (_binary(), _condition())


def normal_vae():
    posterior = tfp_iaf.RecurrentIAF(3, units=4, num_flows=1, bijector_fn="spline", seed=0)
    x = np.random.default_rng(0).normal(size=[8, 6]).astype("float32")
    return tfp_iaf.VAE(keras.Sequential(_dense(8, 8)), posterior, keras.Sequential(_dense(8, 12)), likelihood="normal"), x


def hierarchical_vae():
    model = tfp_iaf.HierarchicalVAE((8, 8, 3), num_layers=(1, 1), filters=4, latent_channels=2, free_bits=0.1, seed=0)
    return model, _images()


def conditional_density():
    y = np.random.default_rng(0).normal(size=[8, 2]).astype("float32")
    return tfp_iaf.ConditionalDensity(keras.Sequential(_dense(8, 8)), tfp_iaf.IAF(2, hidden_units=(8,), seed=0)), (
        y,
        _condition(),
    )


MODELS = {
    function.__name__: function for function in (iaf_vae, conditional_vae, normal_vae, hierarchical_vae, conditional_density)
}


def answers(model, x):
    """What a model says of its data, float arrays by name, the same for the same weights."""
    if isinstance(model, tfp_iaf.ConditionalDensity):
        return {"log_prob": np.asarray(model.log_prob(*x))}
    terms = model.elbo_terms(x, num_samples=2, seed=[0, 1])
    return {name: np.asarray(terms[name]) for name in ("kl", "reconstruction")}


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, make in MODELS.items():
        path = FOLDER / f"{name}.keras"
        if path.exists():
            print(f"{path} stays.")
            continue
        keras.utils.set_random_seed(0)
        model, x = make()
        model.compile(keras.optimizers.Adamax(2e-3))
        model.fit(x, epochs=2, batch_size=4, verbose=0)
        model.save(path)
        model.save_weights(FOLDER / f"{name}.weights.h5")
        np.savez(FOLDER / f"{name}.npz", **answers(model, x))
        print(f"{path} written.")


if __name__ == "__main__":
    main()
