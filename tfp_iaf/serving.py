"""Export for serving: a SavedModel that runs with TensorFlow alone."""

from __future__ import annotations

import inspect
import math
import os
import warnings

import tensorflow as tf

from tfp_iaf import _compat, objectives
from tfp_iaf._arguments import flag, given
from tfp_iaf._arguments import path as checked_path
from tfp_iaf._folders import written_beside
from tfp_iaf.layers import folded_masks
from tfp_iaf.models import ElboModel

__all__ = ["export"]

# Endings of files that models are kept in.
FILES = (".keras", ".h5", ".hdf5", ".pb", ".tflite", ".onnx")


def export(model: ElboModel, path: str | os.PathLike, overwrite: bool = False) -> None:
    """Writes the model as a SavedModel with one signature per task; `tf.saved_model.load` needs neither Keras nor TFP.

    | signature | inputs | outputs |
    |---|---|---|
    | `encode` | x, seed | z `[B, D]`, log_q `[B]`: one posterior sample and its log-density |
    | `encode_from_noise` | x, noise | the same, at the given standard normal noise `[B, D]` |
    | `encode_mean` | x | z at the mean of the posterior's base: the same at every call |
    | `decode` | z | parameters and mean of p(x given z) |
    | `sample` | num_samples (int32 scalar), seed | z and mean of p(x given z), at z drawn from the prior |
    | `elbo` | x, seed | elbo, kl, reconstruction `[B]` at one posterior sample |
    | `elbo_from_noise` | x, noise | the same, at the given noise |
    | `posterior_log_prob` | x, z | log_prob `[B]` of the given z |
    | `log_likelihood` | x, num_samples, seed | log_likelihood `[B]`, importance-sampled, one sample in memory at a time |

    A model gets the signatures that it can answer: where a method raises NotImplementedError, its signature is left out. A
    posterior whose flows have no inverse lacks `posterior_log_prob`. Where the likelihood has no mean, `decode` gives the
    parameters alone, and `sample` gives `parameters` in place of `mean`. A model of several latents, such as
    `models.HierarchicalVAE`, has z_1 ... z_L, the first nearest to the image, in place of z, and noise_1 ... noise_L.

    A conditional model has one more input, `condition`, in every signature: `[B, ...]`, or in `sample` one row for each
    sample or a single row that all share. It is the last input.

    A model without latents, whose density is exact, has these two signatures. So has a `models.ConditionalDensity`, with y in
    the place of x, as input and as output:

    | signature | inputs | outputs |
    |---|---|---|
    | `log_prob` | x, condition | log_prob `[B]` |
    | `sample` | num_samples, seed, condition | x `[num_samples, B, ...]` |

    Batches may have any size. x, y, z and noise have the model's `density_dtype`. `seed` is an int32 tensor of shape [2]: equal
    seeds give equal results. The noise of a row is that of the seed and of the row's place in its batch, so the first rows
    of a batch get the same answers alone. The signatures without a seed draw nothing, and convert to the runtimes that lack
    TensorFlow's generators: LiteRT and ONNX.

    Masks are multiplied into the exported weights, so that a served row costs no masking.

    An example that the likelihood cannot score (x not finite; under "bernoulli" other than 0 and 1, under
    "discretized_logistic" other than the integers 0 to 255) gets NaN in every output: signatures cannot raise an error for
    one row, and a plausible number would hide the mistake.

    Each signature is a function of the loaded object too: `loaded.sample(16, seed)["mean"]`. It may be called from many
    threads at once. Keep the loaded object referenced while its functions are in use.

    Args:
        model: a built `models.ElboModel`, such as a `VAE`, a `HierarchicalVAE` or a `ConditionalDensity`.
        path: the folder to write; it appears when it is complete, and a kill at any moment leaves the whole old folder, if
            there was one, or the whole new one.
        overwrite: whether to replace what is at `path`.

    Raises:
        TypeError: if the model is of another class.
        ValueError: if the model is not built, `path` has the ending of a file, or something is at `path` already.
        OSError: in one line, if the disk has no room for it; what was there before stays.

    >>> import keras
    >>> from tfp_iaf import models, posteriors
    >>> model = models.VAE(keras.layers.Dense(8), posteriors.IAF(2, hidden_units=(8,)), keras.layers.Dense(6))
    >>> model.build((None, 6))
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(model, f"{folder}/saved_model")
    ...     loaded = tf.saved_model.load(f"{folder}/saved_model")
    ...     loaded.sample(3, [0, 1])["mean"].shape
    TensorShape([3, 6])
    """
    if not isinstance(model, ElboModel):
        raise TypeError(f"Only a models.ElboModel can be exported, got {given(model)}.")
    path = checked_path("path", path)
    flag("overwrite", overwrite)
    model.check_built()
    if path.suffix in FILES:
        raise ValueError(
            f"An export is a folder, got the name of a file, {given(str(path))}: leave out the ending {path.suffix} "
            "(model.save writes .keras files)."
        )
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists already: choose another path, or pass overwrite=True to replace it.")
    if not model.checks_in_graphs:
        warnings.warn(
            f"{model.checks.name} checks data in Python, which an export cannot: it gives numbers for data that check refuses, "
            "too, unless the likelihood writes is_valid(x).",
            stacklevel=2,
        )
    with _compat.without_gradients(), folded_masks(model), written_beside(path) as complete:
        signatures = _signatures(model)
        # Not `keras.export.ExportArchive`: it traces every function twice, and writes both graphs.
        served = tf.Module()
        for name, function in signatures.items():
            setattr(served, name, function)
        served.captured_variables = list({id(v): v for function in signatures.values() for v in function.variables}.values())
        served.captured_resources = _resources(model)
        try:
            tf.saved_model.save(served, complete, signatures=signatures | {"serving_default": next(iter(signatures.values()))})
        except tf.errors.ResourceExhaustedError as error:
            raise OSError(f"No space is left on the disk of {path.parent}: make room there, or choose another path.") from error


def _resources(model):
    """Lookup tables and the like: what graphs use and is no variable."""
    parts = tf.train.TrackableView(model).descendants()
    return [part for part in parts if isinstance(part, tf.saved_model.experimental.TrackableResource)]


def _signatures(model):
    """The traced functions of the tasks that the model can answer, by name."""
    endpoints = _elbo_endpoints(model) if model.has_latents else _density_endpoints(model)
    condition = [] if model.condition_shape is None else [_condition_spec(model)]
    signatures = {}
    for name, (function, specs) in endpoints.items():
        specs = [*specs, *condition]
        traced = tf.function(_with_names(function, specs), input_signature=specs, autograph=False)
        try:
            signatures[name] = traced.get_concrete_function()
        except NotImplementedError:
            if _is_answered(function, specs):
                raise  # The model can do it, only not in a graph: TensorFlow says so by the same class of error.
    if not signatures:
        raise ValueError(f"{type(model).__name__} answers none of {', '.join(endpoints)}: it implements none of their methods.")
    return signatures


def _is_answered(function, specs):
    """Whether a call of one row outside of graphs gives an answer."""
    row = {spec.name: tf.ones([size or 1 for size in spec.shape], spec.dtype) for spec in specs}
    try:
        function(row)
    except NotImplementedError:
        return False
    return True


def _condition_spec(model):
    return tf.TensorSpec((None, *model.condition_shape), model.density_dtype, name="condition")


def _with_names(function, specs):
    """`function(inputs)` of a dict as a function of arguments with the names of `specs`."""
    names = [spec.name for spec in specs]

    def call(*args, **kwargs):
        return function({**dict(zip(names, args)), **kwargs})

    call.__signature__ = inspect.Signature([inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names])
    return call


def _elbo_endpoints(model):
    """(function of a dict of inputs, specs of the inputs but the condition) of each task of a model with latents."""
    x = tf.TensorSpec((None, *model.data_shape), model.density_dtype, name="x")
    num_samples = tf.TensorSpec((), tf.int32, name="num_samples")
    seed = tf.TensorSpec((2,), tf.int32, name="seed")
    latents, noise = (_specs_of(method) for method in (model.latent_specs, model.noise_specs))

    def data(inputs):
        """What the model takes as x: with the condition, if there is one."""
        return (inputs["x"], inputs["condition"]) if "condition" in inputs else inputs["x"]

    def conditioned(inputs):
        return {"condition": inputs["condition"]} if "condition" in inputs else {}

    def named(z):
        return {spec.name: latent for spec, latent in zip(latents, tf.nest.flatten(z))}

    def latents_of(inputs):
        return tf.nest.pack_sequence_as(model.latent_specs(), [inputs[spec.name] for spec in latents])

    def chance(inputs):
        """What decides the sample: the seed or the noise."""
        if "seed" in inputs:
            return {"seed": inputs["seed"]}
        return {"noise": tf.nest.pack_sequence_as(model.noise_specs(), [inputs[spec.name] for spec in noise])}

    def mean_of(parameters):
        try:
            return {} if model.likelihood is None else {"mean": model.likelihood.mean(parameters)}
        except NotImplementedError:
            return {}

    def checked(inputs, outputs):
        return _nan_unless(model.is_valid(data(inputs)), outputs)

    def encode(inputs):
        z, log_q = model.posterior_sample(data(inputs), **chance(inputs))
        return checked(inputs, {**named(z), "log_q": log_q})

    def encode_mean(inputs):
        return checked(inputs, named(model.encode_mean(data(inputs))))

    def decode(inputs):
        parameters = model.decode(latents_of(inputs), **conditioned(inputs))
        return {"parameters": parameters, **mean_of(parameters)}

    def sample(inputs):
        num_samples = inputs["num_samples"]
        if "condition" in inputs:
            inputs = {**inputs, "condition": model.condition_rows(inputs["condition"], num_samples)}
        z = model.prior_sample(num_samples, inputs["seed"], **conditioned(inputs))
        parameters = model.decode(z, **conditioned(inputs))
        return {**named(z), **(mean_of(parameters) or {"parameters": parameters})}

    def elbo(inputs):
        terms = model.elbo_terms(data(inputs), **chance(inputs), training=False)
        kl, reconstruction = terms["kl"][0], terms["reconstruction"][0]
        outputs = {"elbo": objectives.elbo(reconstruction, kl), "kl": kl, "reconstruction": reconstruction}
        return checked(inputs, outputs)

    def posterior_log_prob(inputs):
        log_prob = model.posterior_log_prob(data(inputs), latents_of(inputs))
        return checked(inputs, {"log_prob": log_prob})

    def log_likelihood(inputs):
        x, num_samples = inputs["x"], inputs["num_samples"]

        def add_sample(index, log_sum):
            seed = tf.random.experimental.stateless_fold_in(inputs["seed"], index, alg="philox")
            terms = model.elbo_terms(data(inputs), seed=seed, training=False)
            log_weight = objectives.elbo(terms["reconstruction"][0], terms["kl"][0])
            return index + 1, tf.reduce_logsumexp([log_sum, log_weight], axis=0)

        positive = tf.debugging.assert_positive(num_samples, "num_samples must be at least 1.")
        with tf.control_dependencies([positive]):
            num_samples = tf.identity(num_samples)
        start = tf.fill(tf.shape(x)[:1], tf.constant(-math.inf, x.dtype))
        # One sample in memory at a time: TensorFlow would take ten.
        _, log_sum = tf.while_loop(lambda index, _: index < num_samples, add_sample, (0, start), parallel_iterations=1)
        log_mean = log_sum - tf.math.log(tf.cast(num_samples, x.dtype))
        return checked(inputs, {"log_likelihood": log_mean})

    endpoints = {"elbo": (elbo, [x, seed]), "log_likelihood": (log_likelihood, [x, num_samples, seed])}
    if noise is not None:
        endpoints["elbo_from_noise"] = elbo, [x, *noise]
    if latents is not None:
        if noise is not None:
            endpoints["encode_from_noise"] = encode, [x, *noise]
        endpoints |= {
            "encode": (encode, [x, seed]),
            "encode_mean": (encode_mean, [x]),
            "decode": (decode, latents),
            "sample": (sample, [num_samples, seed]),
            "posterior_log_prob": (posterior_log_prob, [x, *latents]),
        }
    return endpoints


def _specs_of(method):
    """The specs that a method of the model returns, as a list; None if the model does not define it."""
    try:
        return tf.nest.flatten(method())
    except NotImplementedError:
        return None


def _density_endpoints(model):
    """As `_elbo_endpoints`, of a model whose density is exact."""
    name = model.data_name
    x = tf.TensorSpec((None, *model.data_shape), model.density_dtype, name=name)
    num_samples = tf.TensorSpec((), tf.int32, name="num_samples")
    seed = tf.TensorSpec((2,), tf.int32, name="seed")

    def conditions(inputs):
        return [inputs["condition"]] if "condition" in inputs else []

    def log_prob(inputs):
        data = inputs[name], *conditions(inputs)
        return _nan_unless(model.is_valid(data if len(data) > 1 else data[0]), {"log_prob": model.log_prob(*data)})

    def sample(inputs):
        rest = {key: value for key, value in inputs.items() if key == "condition"}
        return {name: model.sample(inputs["num_samples"], inputs["seed"], **rest)}

    return {"log_prob": (log_prob, [x]), "sample": (sample, [num_samples, seed])}


def _nan_unless(valid, outputs):
    """The outputs `[B, ...]`, with NaN in the rows that are not valid, `[B]`."""

    def masked(value):
        rows = tf.reshape(valid, tf.concat([tf.shape(valid), tf.ones([value.shape.rank - 1], tf.int32)], axis=0))
        return tf.where(rows, value, tf.constant(math.nan, value.dtype))

    return tf.nest.map_structure(masked, outputs)
