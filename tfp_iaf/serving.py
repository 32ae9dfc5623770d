"""Export for serving: a SavedModel that runs with TensorFlow alone."""

import os
import pathlib
import shutil
import tempfile

import keras
import tensorflow as tf

from tfp_iaf import objectives

__all__ = ["export"]


def export(model, path, overwrite=False):
    """Writes the model as a SavedModel with one signature a task; `tf.saved_model.load` needs neither Keras nor TFP.

    | signature | inputs | outputs |
    |---|---|---|
    | `encode` | x, seed | z `[B, D]`, log_q `[B]`: one posterior sample and its log-density |
    | `decode` | z | parameters and mean of p(x given z) |
    | `sample` | num_samples (int32 scalar), seed | z and mean of p(x given z), at z drawn from the prior |
    | `elbo` | x, seed | elbo, kl, reconstruction `[B]` at one posterior sample |
    | `posterior_log_prob` | x, z | log_prob `[B]` of the given z |
    | `log_likelihood` | x, num_samples, seed | log_likelihood `[B]`, importance-sampled, one sample in memory at a time |

    A `models.HierarchicalVAE` has z_1 ... z_L, the first nearest to the image, in place of z. Batches may have any size. x
    and z have the model's `density_dtype`. `seed` is an int32 tensor of shape [2]: equal seeds give equal results. Each
    signature is a function of the loaded object too: `loaded.sample(16, seed)["mean"]`. Keep the loaded object referenced
    while its functions are in use.

    Args:
        model: a built `models.VAE` or `models.HierarchicalVAE`.
        path: the folder to write; it appears when it is complete.
        overwrite: whether to replace what is at `path`.

    Raises:
        ValueError: if the model is not built, or something is at `path` already.

    >>> from tfp_iaf import models, posteriors
    >>> model = models.VAE(keras.layers.Dense(8), posteriors.IAF(2, hidden_units=(8,)), keras.layers.Dense(6))
    >>> model.build((None, 6))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(model, os.path.join(folder, "saved_model"))
    ...     loaded = tf.saved_model.load(os.path.join(folder, "saved_model"))
    ...     loaded.sample(3, [0, 1])["mean"].shape
    TensorShape([3, 6])
    """
    path = pathlib.Path(path)
    if not model.built:
        raise ValueError("The model is not built: fit it, or call model.build((None, ...)) with the shape of x.")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists already: choose another path, or pass overwrite=True to replace it.")
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, (function, signature) in _endpoints(model).items():
        archive.add_endpoint(name, function, input_signature=signature)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside the target and moved there when whole, so that a reader never finds half an export.
    staging = tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        complete = pathlib.Path(staging, "new")
        archive.write_out(complete, verbose=False)
        old = pathlib.Path(staging, "old")
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(complete, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _endpoints(model):
    dtype = model.density_dtype
    x = tf.TensorSpec((None, *model.data_shape), dtype, name="x")
    latents = tf.nest.flatten(model.latent_specs())
    num_samples = tf.TensorSpec((), tf.int32, name="num_samples")
    seed = tf.TensorSpec((2,), tf.int32, name="seed")

    def named(z):
        return {spec.name: latent for spec, latent in zip(latents, tf.nest.flatten(z))}

    def packed(flat):
        return tf.nest.pack_sequence_as(model.latent_specs(), flat)

    def encode(x, seed):
        z, log_q = model.posterior_sample(x, seed)
        return {**named(z), "log_q": log_q}

    def decode(*z):
        parameters = model.decode(packed(z))
        return {"parameters": parameters, "mean": model.likelihood(parameters).mean()}

    def sample(num_samples, seed):
        z, parameters = model.prior_sample(num_samples, seed)
        return {**named(z), "mean": model.likelihood(parameters).mean()}

    def elbo(x, seed):
        terms = model.elbo_terms(x, seed=seed, training=False)
        kl, reconstruction = terms["kl"][0], terms["reconstruction"][0]
        return {"elbo": objectives.elbo(reconstruction, kl), "kl": kl, "reconstruction": reconstruction}

    def posterior_log_prob(x, *z):
        return {"log_prob": model.posterior_log_prob(x, packed(z))}

    def log_likelihood(x, num_samples, seed):
        def add_sample(index, log_sum):
            terms = model.elbo_terms(
                x, seed=tf.random.experimental.stateless_fold_in(seed, index, alg="philox"), training=False
            )
            log_weight = objectives.elbo(terms["reconstruction"][0], terms["kl"][0])
            return index + 1, tf.reduce_logsumexp([log_sum, log_weight], axis=0)

        positive = tf.debugging.assert_positive(num_samples, "num_samples must be at least 1.")
        with tf.control_dependencies([positive]):
            num_samples = tf.identity(num_samples)
        start = tf.fill(tf.shape(x)[:1], tf.constant(float("-inf"), x.dtype))
        _, log_sum = tf.while_loop(lambda index, _: index < num_samples, add_sample, (0, start))
        return {"log_likelihood": log_sum - tf.math.log(tf.cast(num_samples, x.dtype))}

    return {
        "encode": (encode, [x, seed]),
        "decode": (decode, latents),
        "sample": (sample, [num_samples, seed]),
        "elbo": (elbo, [x, seed]),
        "posterior_log_prob": (posterior_log_prob, [x, *latents]),
        "log_likelihood": (log_likelihood, [x, num_samples, seed]),
    }
