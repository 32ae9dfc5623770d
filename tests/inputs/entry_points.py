"""The entry points of masks, layers, networks, bijectors, posteriors, priors, likelihoods and objectives.

Their objects are those that the other tests are made of.
"""

import functools

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tests.bijectors.constructors import BIJECTORS, DISTINCT
from tests.inputs import roles
from tests.inputs.entries import ENTRIES, add, of_config, rows, set_by_itself
from tests.posteriors.constructors import CASES
from tests.priors.test_contract import PRIORS, built
from tfp_iaf import bijectors, layers, likelihoods, masks, networks, objectives, posteriors, priors
from tfp_iaf.bijectors import inverses, maps

__all__ = ["ENTRIES"]

tfd = tfp.distributions


def weight_normalized():
    return keras.Sequential([layers.WeightNormalization(keras.layers.Dense(2, use_bias=False))])


def used_prior(prior):
    prior.build((2,))
    return prior.sample(2, 0)


# Masks and layers.
DEGREES = {"in_degrees": [1, 2, 3], "out_degrees": [1, 1, 2, 3]}
add("masks", masks.input_degrees, {"event_size": 3}, seed=roles.MASK_SEED)
add("masks", masks.fixed_order, {"event_size": 3, "input_order": "random"}, seed=roles.MASK_SEED)
add("masks", masks.alternating_orders, {"event_size": 3, "input_order": "right-to-left", "num_flows": 2})
add("masks", masks.hidden_degrees, {"num_units": 4, "event_size": 3})
add("masks", masks.fixed_hidden_degrees, {"hidden_units": (4,), "event_size": 3}, seed=roles.MASK_SEED)
add("masks", masks.degree_mask, DEGREES)
add("masks", masks.conv_mask, {"kernel_size": (3, 3), **DEGREES}, kernel_size=roles.PAIR)
add("masks", masks.is_monotone, {"degrees": [1, 2]})
add("masks", masks.kernel_blocks, {"num_blocks": 2, **DEGREES}, num_blocks=roles.COUNT)


def layer_of(kind, shape, **arguments):
    add("layers", kind, arguments, use=lambda layer: layer(rows(*shape)))


layer_of(layers.MaskedDense, (2, 3), **DEGREES)
layer_of(layers.MaskedConv, (1, 3, 3, 3), **DEGREES)
layer_of(layers.ResidualBlock, (1, 4, 4, 2), filters=2)
layer_of(layers.ChannelLogScale, (1, 4, 2))
add(
    "layers",
    layers.WeightNormalization,
    lambda: {"layer": keras.layers.Dense(2, use_bias=False)},
    use=lambda layer: layer(rows(2, 3)),
)
add(
    "layers",
    lambda **kwargs: layers.linear_layer(**{"units": 3, **kwargs}),
    {"layer_type": keras.layers.Dense},
    "linear_layer",
    lambda layer: layer(rows(2, 3)),
    layers.linear_layer,
)
add("layers", layers.mnist_encoder, {})
add("layers", layers.mnist_decoder, {}, data_shape=roles.NEVER)
add(
    "layers",
    lambda model: layers.initialize_weight_normalization(model, rows(3, 2)),
    lambda: {"model": weight_normalized()},
    "initialize_weight_normalization",
    takes=lambda model: None,
    model=roles.instance_of(keras.layers.Layer),
)


# Networks and bijectors. TFP keeps the arguments of a bijector, Keras those of a network.
def made_networks():
    found = {}
    for constructor in DISTINCT.values():
        network = getattr(constructor(), "network", None)
        if isinstance(network, networks.Network) and type(network).__module__.startswith("tfp_iaf"):
            found.setdefault(type(network), network)
    return found


def inputs_of(network, count=2):
    context = {} if network.context_size is None else {"context": rows(count, *network.context_shape)}
    return {"y": rows(count, *network.event_shape), **context}


for kind, network in {**made_networks(), networks.ConvAutoregressiveNetwork: BIJECTORS["images"]().network}.items():
    add(
        "networks",
        kind,
        of_config(network),
        use=lambda network: network(**inputs_of(network)),
        seed=roles.MASK_SEED,
        kernel_size=roles.SIZE_OR_SIZES,
        filters=roles.SIZES_OR_NONE,
        event_shape=roles.optional(roles.EVENT) if len(network.event_shape) == 1 else roles.PLACES,
        input_order=roles.order(len(network.event_shape) == 1),
        without=set_by_itself(network),
    )
    add(
        "networks",
        network,
        functools.partial(inputs_of, network),
        f"{kind.__name__}.__call__",
        without=("kwargs",),
        takes=lambda y, context: None,
    )

for case in DISTINCT.values():
    bijector = case()
    kind = type(bijector)
    if not kind.__module__.startswith("tfp_iaf") or kind.__name__ in {each.name for each in ENTRIES}:
        continue
    given = {key: value for key, value in bijector.parameters.items() if value is not None}
    add(
        "bijectors",
        kind,
        given,
        use=lambda made, case=case: made.forward(case.events(2)),
        kept=roles.NEVER,
        bijector_fn=roles.MAP,
        network=roles.FUNCTION if kind is bijectors.AdditiveCoupling else roles.ROLES["network"],
    )
    for method in ("forward", "inverse", "forward_log_det_jacobian", "inverse_log_det_jacobian"):
        argument = "x" if method.startswith("forward") else "y"
        event_ndims = {"event_ndims": case.event_ndims} if "jacobian" in method else {}
        add(
            "bijectors",
            getattr(bijector, method),
            {argument: np.asarray(case.events(2)), **event_ndims},
            f"{kind.__name__}.{method}",
            without=("name", "kwargs", "event_ndims"),
            x=roles.NUMBERS if kind is bijectors.ReverseOrder else roles.events(case.event_shape[-1]),
            y=roles.NUMBERS if kind is bijectors.ReverseOrder else roles.events(case.event_shape[-1]),
        )

for kind in (maps.Affine, maps.Monotone, maps.Spline):
    add("bijectors", kind, {}, f"maps.{kind.__name__}")
add(
    "bijectors",
    maps.FromBijector,
    {"bijector_fn": lambda p: tfp.bijectors.Shift(p[..., 0]), "params": 1},
    "maps.FromBijector",
    bijector_fn=roles.FUNCTION,
)
add(
    "bijectors",
    maps.get,
    {"bijector_fn": "affine", "params": 2},
    "maps.get",
    params=roles.optional(roles.COUNT),
    bijector_fn=roles.MAP,
)
add("bijectors", inverses.known, lambda: {"inverse": "auto"}, "inverses.known")
add("bijectors", inverses.get, lambda: {"inverse": "auto", "network": BIJECTORS["affine"]().network}, "inverses.get")

# Posteriors.
for case in CASES.values():
    posterior = case.make()
    kind = type(posterior)
    if kind.__name__ not in {each.name for each in ENTRIES}:
        add(
            "posteriors",
            kind,
            of_config(posterior),
            use=lambda made, case=case: made(case.features(2)),
            without=(*set_by_itself(posterior), "latent_shape" if "latent_size" in of_config(posterior) else "latent_size"),
            filters=roles.SIZES_OR_NONE,
            kernel_size=roles.SIZE_OR_SIZES,
            event_shape=roles.NEVER,
            latent_shape=roles.PLACES if kind is posteriors.ConvIAF else roles.LATENT,
        )
for name in ("IAF", "full covariance", "conv IAF"):
    case, posterior = CASES[name], CASES[name].trained()
    kind = type(posterior).__name__
    value = {"value": rows(2, *case.latent_shape)}
    for suffix, given in (("draw", {"num_samples": 2, "seed": 0}), ("value", value)):
        add(
            "posteriors",
            posterior,
            lambda case=case, given=given: {"features": case.features(2), **given},
            f"{kind}.__call__, {suffix}",
            takes=(
                (lambda features, num_samples=None, seed=None, sample=True: None)
                if suffix == "draw"
                else (lambda features, value=None: None)
            ),
            num_samples=roles.optional(roles.COUNT),
            seed=roles.optional(roles.either(roles.SEED, roles.SYMBOLIC)),
            sample=roles.FLAG,
            value=roles.optional(roles.ROWS),
        )
    add("posteriors", posterior.distribution, lambda case=case: {"features": case.features(2)}, f"{kind}.distribution")
    add(
        "posteriors",
        posterior.log_prob,
        lambda case=case: {"features": case.features(2), "z": rows(2, *case.latent_shape)},
        f"{kind}.log_prob",
        z=roles.ROWS,
    )

# Priors.
for name, make in PRIORS.items():
    prior = built(make)
    if not type(prior).__module__.startswith("tfp_iaf"):
        continue
    kind = type(prior).__name__
    given = of_config(prior) if name != "fixed" else {"distribution_fn": lambda: tfd.MultivariateNormalDiag(tf.zeros([2]))}
    add("priors", type(prior), given, use=lambda prior: None if isinstance(prior, priors.VampPrior) else used_prior(prior))
    add("priors", prior.log_prob, {"z": rows(3, 2)}, f"{kind}.log_prob", without=("condition",), z=roles.ARRAY)
    add(
        "priors",
        prior.sample,
        {"n": 2, "seed": 0},
        f"{kind}.sample",
        without=("condition",),
        seed=roles.SEED,
        temperature=roles.ONE if name == "fixed" else roles.NON_NEGATIVE,
    )
    if name != "VampPrior":
        add(
            "priors",
            lambda make=make, **kwargs: make().build(**kwargs),
            {"latent_shape": (2,)},
            f"{kind}.build",
            takes=prior.build,
            latent_shape=roles.SIZES_NOT_EMPTY,
        )
add("priors", priors.get, {"prior": None}, "get")


# Likelihoods.
add("likelihoods", likelihoods.Normal, {})
add("likelihoods", likelihoods.get, {"identifier": "normal"}, identifier=roles.LIKELIHOOD)
add("likelihoods", likelihoods.FromFunction, {"function": tfd.Normal}, function=roles.FUNCTION)
for kind in (likelihoods.Normal, likelihoods.Bernoulli, likelihoods.DiscretizedLogistic):
    data = np.zeros([2, 2], np.float32)
    add("likelihoods", kind().check, {"x": data}, f"{kind.__name__}.check", x=roles.CHECKED)
    parameters = {"parameters": rows(2, 4)}
    for method in ("distribution", "mean"):
        add("likelihoods", getattr(kind(), method), parameters, f"{kind.__name__}.{method}", parameters=roles.NUMBERS)

# Objectives.
TERMS = {"reconstruction": rows(3, 2), "kl": rows(3, 2)}
add("objectives", objectives.elbo, TERMS, kl_weight=roles.NUMBERS)
add("objectives", objectives.importance_weighted_bound, {"log_weights": rows(3, 2)}, without=("axis",))
add("objectives", objectives.annealed_free_energy, {"bound": rows(2), "log_q": rows(2), "inverse_temperature": 0.5})
add("objectives", objectives.along_path, {"log_q": rows(2), "score": rows(2, 3), "z": rows(2, 3)}, z=roles.NUMBERS)
add("objectives", objectives.free_bits, {"kl": rows(3, 2), "minimum": 0.5}, minimum=roles.NON_NEGATIVE)
add(
    "objectives",
    objectives.soft_free_bits_weights,
    {"weights": rows(2), "kl": rows(3, 2), "minimum": 0.5},
    minimum=roles.NON_NEGATIVE,
    tolerance=roles.NON_NEGATIVE,
    rate=roles.POSITIVE,
    weights=roles.NUMBERS,
)
