"""Models, and what is done with them: `entry_points.add` for each."""

import functools
import pathlib
import tempfile

import keras
import numpy as np
import tensorflow_probability as tfp

from tests.inputs import roles
from tests.inputs.entries import ENTRIES, add, rows
from tests.models.hierarchical import models as hierarchical
from tests.own_models import conditional_vae
from tfp_iaf import callbacks, distributed, evaluation, models, posteriors, serving, vi

__all__ = ["ENTRIES"]

tfd = tfp.distributions

BITS = (rows(4, 6) > 0).astype(np.float32)
CONDITION = rows(4, 3)
Z = rows(4, 2)


@functools.cache
def vae():
    model = models.VAE(keras.layers.Dense(4), posteriors.IAF(2, hidden_units=(4,), seed=0), keras.layers.Dense(6))
    model.build((None, 6))
    return compiled(model)


@functools.cache
def conditional():
    return compiled(conditional_vae(posteriors.DiagonalGaussian(2, seed=0)))


@functools.cache
def density():
    model = models.ConditionalDensity(keras.layers.Dense(4), posteriors.IAF(2, hidden_units=(4,), seed=0))
    model.build(((None, 2), (None, 3)))
    return compiled(model)


@functools.cache
def ladder():
    return compiled(hierarchical.make_small())


def compiled(model):
    # No step moves a weight: every case finds the same model.
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True, jit_compile=False)
    return model


def used(model):
    return model(BITS)


def method(make, name, arguments, *without, takes=None, **own_roles):
    model = make()
    function = getattr(model, name)
    without = (*without, "kwargs", "args")
    add("models", function, arguments, f"{type(model).__name__}.{name}", takes=takes, without=without, **own_roles)


add(
    "models",
    models.VAE,
    lambda: {
        "encoder": keras.layers.Dense(4),
        "posterior": posteriors.DiagonalGaussian(2, seed=0),
        "decoder": keras.layers.Dense(6),
    },
    use=used,
)
add(
    "models",
    models.ConditionalDensity,
    lambda: {"encoder": keras.layers.Dense(4), "posterior": posteriors.DiagonalGaussian(2, seed=0)},
    use=lambda model: model((Z, CONDITION)),
    without=("likelihood", "num_samples"),
)
SMALL = {"image_shape": (4, 4, 1), "num_layers": (1,), "filters": 2, "latent_channels": 1, "seed": 0}
add(
    "models",
    models.HierarchicalVAE,
    SMALL,
    use=lambda model: model(np.zeros([1, 4, 4, 1])),
    num_flows=roles.optional(roles.COUNT),
    bijector_fn=roles.optional(roles.ROLES["bijector_fn"]),
    posterior=roles.FUNCTION,
)

# Ways of data into a model.
DATA_ONLY = {"x": BITS}
for name in ("fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch"):
    quiet = {"verbose": 0} if name in ("fit", "evaluate", "predict") else {}
    has_datasets = not name.endswith("on_batch")
    method(
        vae,
        name,
        {**DATA_ONLY, **quiet},
        "verbose",
        takes=(lambda x, y, sample_weight: None) if name not in ("predict", "predict_on_batch") else (lambda x: None),
        x=roles.DATA if has_datasets else roles.VALUES,
        y=roles.optional(roles.NEVER),
        sample_weight=roles.optional(roles.NEVER),
    )
for name in ("fit", "train_on_batch"):
    method(
        vae,
        name,
        {**DATA_ONLY, "sample_weight": np.ones([4], np.float32)},
        takes=lambda sample_weight=None: None,
        sample_weight=roles.WEIGHTS,
    )
for name in ("__call__", "encode", "encode_mean"):
    method(vae, name, DATA_ONLY, x=roles.VALUES, takes=lambda x: None)
latents = [np.zeros([2, *shape], np.float32) for shape in ladder().latent_shapes]
for make, data, noise in ((vae, BITS, Z), (ladder, hierarchical.images(2), latents)):
    of_noise = roles.ARRAY if make is vae else roles.NEVER
    for name, given in (("reconstruct", {}), ("posterior_sample", {}), ("elbo_terms", {"num_samples": 2})):
        method(
            make, name, {"x": data, "seed": 0, **given}, "noise", "training", x=roles.VALUES, seed=roles.optional(roles.SEED)
        )
    for name in ("posterior_sample", "elbo_terms"):
        method(make, name, {"x": data, "noise": noise}, "x", "seed", "num_samples", "training", noise=roles.optional(of_noise))
    for name in ("sample", "prior_sample"):
        method(
            make, name, {"num_samples": 2, "seed": 0}, seed=roles.optional(roles.SEED), condition=roles.optional(roles.NEVER)
        )
method(vae, "posterior_log_prob", {"x": BITS, "z": Z}, x=roles.VALUES, z=roles.ROWS)
for name in ("decode", "mean"):
    method(vae, name, {"z": Z}, "training", z=roles.ARRAY, condition=roles.optional(roles.NEVER))
    method(conditional, name, {"z": Z, "condition": CONDITION}, "training", z=roles.ROWS)
for name, given in (("decode", {}), ("posterior_log_prob", {"x": hierarchical.images(2)})):
    method(
        ladder, name, {**given, "z": latents}, "training", x=roles.VALUES, z=roles.NEVER, condition=roles.optional(roles.NEVER)
    )
for name in ("sample", "prior_sample"):
    method(conditional, name, {"num_samples": 4, "seed": 0, "condition": CONDITION}, seed=roles.optional(roles.SEED))
for name in ("fit", "evaluate", "__call__"):
    for part in ("x", "condition"):
        quiet = {} if name == "__call__" else {"verbose": 0}

        def call(x, condition, model=conditional, name=name, quiet=quiet):
            return getattr(model(), name)((x, condition), **quiet)

        add(
            "models",
            call,
            {"x": BITS, "condition": CONDITION},
            f"conditional VAE.{name}, {part}",
            without=("model", "name", "quiet", "condition" if part == "x" else "x"),
            x=roles.VALUES,
        )
method(density, "log_prob", {"y": Z, "condition": CONDITION}, y=roles.VALUES)
OF_ANY_NUMBER = roles.Role(roles.CONTEXT.takes, roles.VALUES.mistakes)
method(
    density,
    "sample",
    {"num_samples": 2, "seed": 0, "condition": CONDITION},
    seed=roles.optional(roles.SEED),
    temperature=roles.ONE,
    condition=OF_ANY_NUMBER,
)
for name in ("encode", "distribution"):
    method(density, name, {"condition": CONDITION}, condition=OF_ANY_NUMBER)

# Files.


def in_folder(function):
    """The function in a folder of its own."""

    def call(**kwargs):
        with tempfile.TemporaryDirectory() as folder:
            kwargs = {
                name: pathlib.Path(folder, value) if isinstance(value, str) and value.startswith("model") else value
                for name, value in kwargs.items()
            }
            return function(**kwargs)

    return call


FILE = {"filepath": "model.keras"}
add("models", in_folder(vae().save), FILE, "VAE.save", takes=lambda filepath, overwrite: None)
add(
    "models",
    in_folder(vae().save_weights),
    {"filepath": "model.weights.h5"},
    "VAE.save_weights",
    takes=lambda filepath, overwrite: None,
)
add("serving", in_folder(serving.export), lambda: {"model": vae(), "path": "model"}, "export", takes=serving.export)
add("distributed", in_folder(distributed.save), lambda: {"model": vae(), "path": "model.keras"}, "save", takes=distributed.save)

# Evaluation and training.
EVALUATED = {"x": BITS, "num_samples": 2, "verbose": False}
for function in (evaluation.elbo, evaluation.log_likelihood):
    add("evaluation", function, lambda: {"model": vae(), **EVALUATED}, seed=roles.SEED)
add("evaluation", evaluation.bits_per_dim, {"log_likelihood": rows(3), "data_shape": (2, 3)})
add("evaluation", evaluation.mean_and_standard_error, {"values": rows(3)}, values=roles.STATISTICS)
add(
    "distributed",
    distributed.fit,
    lambda: {"model": vae(), "x": BITS, "verbose": 0},
    without=("callbacks", "verbose"),
    seed=roles.MASK_SEED,
    validation_data=roles.optional(roles.NEVER),
)
add("distributed", distributed.evaluate, lambda: {"model": vae(), "x": BITS})
add("callbacks", callbacks.KLWarmUp, {"num_steps": 3})
add("callbacks", callbacks.FreeEnergyAnnealing, {"num_steps": 3})
add("callbacks", callbacks.TensorBoardImages, {"log_dir": "away", "x": rows(2, 4, 4)}, seed=roles.SEED, without=("x",))

# Variational inference.


@functools.cache
def target():
    joint = tfd.JointDistributionNamed({"mean": tfd.Normal(0.0, 1.0), "x": lambda mean: tfd.Normal(mean, 1.0)})
    return joint.experimental_pin(x=1.0)


@functools.cache
def surrogate():
    return vi.build_iaf_surrogate_posterior(target(), num_flows=1, hidden_units=(4,), seed=0)


add(
    "vi",
    vi.build_iaf_surrogate_posterior,
    lambda: {"joint_distribution": target(), "num_flows": 1, "hidden_units": (4,)},
    use=lambda made: made.sample(2, seed=0),
)
add(
    "vi",
    vi.without_features,
    lambda: {"posterior": posteriors.PlanarFlow(2, num_flows=1)},
    use=lambda made: made.sample(2, seed=0),
)
BOTH = {"joint_distribution": target, "surrogate_posterior": surrogate}
add(
    "vi",
    vi.diagnose,
    lambda: {**{name: make() for name, make in BOTH.items()}, "num_samples": 100},
    seed=roles.SEED,
    num_samples=roles.integer_from(100),
)
add(
    "vi",
    vi.fit,
    lambda: {
        **{name: make() for name, make in BOTH.items()},
        "num_steps": 1,
        "sample_size": 2,
        "learning_rates": [1e-9],
        "verbose": False,
    },
    seed=roles.SEED,
)
add("vi", vi.pareto_k, {"log_weights": rows(30)}, log_weights=roles.STATISTICS)
