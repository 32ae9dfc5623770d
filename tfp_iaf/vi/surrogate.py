"""IAF surrogate posteriors for TFP's joint distributions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import _compat
from tfp_iaf._arguments import choice, given, integer
from tfp_iaf._types import Identifier, InputOrder, TensorLike
from tfp_iaf.bijectors import maps
from tfp_iaf.posteriors import IAF, Posterior
from tfp_iaf.vi._settings import Settings

__all__ = ["AmortizedSurrogatePosterior", "build_iaf_surrogate_posterior"]

tfb = tfp.bijectors
tfd = tfp.distributions

_BASES = ("normal", "student_t")


def build_iaf_surrogate_posterior(
    joint_distribution: tfp.distributions.Distribution,
    num_flows: int = 3,
    hidden_units: Sequence[int] = (64, 64),
    base: str = "normal",
    bijector_fn: maps.MapLike = "affine",
    activation: Identifier = "elu",
    input_order: InputOrder | Sequence[InputOrder] = "left-to-right",
    feature_size: int | None = None,
    seed: int | None = None,
    name: str = "iaf_surrogate_posterior",
) -> tfp.distributions.TransformedDistribution | AmortizedSurrogatePosterior:
    """A trainable distribution over the unknowns of a joint distribution: inverse autoregressive flows on its event space.

    ```none
    u = loc + scale * flow_K(... flow_1(eps)),  eps ~ base        a vector of all unknowns, unconstrained
    z = event_space_bijector(unflatten(u))                        the structure and the supports of the joint distribution
    ```

    The distribution has the structure of `joint_distribution.event_shape`, and goes where TFP's own surrogates go:

    ```none
    tfp.vi.fit_surrogate_posterior(pinned.unnormalized_log_prob, surrogate, keras.optimizers.Adam(1e-2), num_steps=1000)
    ```

    `loc`, `scale`, the base's degrees of freedom and the weights of the flows are its `trainable_variables`;
    `tf.train.Checkpoint(surrogate=surrogate)` saves and restores them, into a surrogate that is built with equal arguments for
    a joint distribution of equal supports; another is refused.

    Args:
        joint_distribution: a `tfd.JointDistribution*`, or one that is pinned to data (`experimental_pin`). Its parts are
            continuous, have known shapes and one dtype, and no batch shape (write vectors of independent parts with
            `tfd.Sample` or `tfd.Independent`, or use an auto-batched joint distribution).
        num_flows, hidden_units, bijector_fn, activation, input_order: of the flows, as in `posteriors.IAF`.
        base: "normal", or "student_t" for heavy tails, whose degrees of freedom are trained.
        feature_size: F, for an amortized surrogate that reads features `[B, F]`; its base is normal, and its location and
            scale are read off the features. None for one posterior.
        seed: integer seed of random orders. The weights at the start follow `keras.utils.set_random_seed`.
        name: of the distribution.

    Returns:
        A `tfd.TransformedDistribution` with batch shape []; with `feature_size` an `AmortizedSurrogatePosterior`.

    Raises:
        ValueError: for a joint distribution that is not as described above, or an unknown base.

    Source: Kingma et al. 2016, for the flows; Rezende and Mohamed 2015, section 3, for the variational bound.

    >>> joint = tfd.JointDistributionNamed({
    ...     "scale": tfd.LogNormal(0.0, 1.0),
    ...     "x": lambda scale: tfd.Sample(tfd.Normal(0.0, scale), 3),
    ... })
    >>> surrogate = build_iaf_surrogate_posterior(joint.experimental_pin(x=tf.ones([3])), hidden_units=(16,))
    >>> surrogate.event_shape["scale"], surrogate.sample(5)["scale"].shape
    (TensorShape([]), TensorShape([5]))
    """
    choice("base", base, _BASES)
    if not isinstance(name, str):
        raise ValueError(f"name must be a text, got {given(name)}.")
    structure, size, dtype = _event_space(joint_distribution)
    feature_size = None if feature_size is None else integer("feature_size", feature_size)
    point = tf.linspace(tf.constant(-1.0, dtype), 1.0, size)
    layer = IAF(
        size,
        num_flows=num_flows,
        hidden_units=hidden_units,
        context_size=0 if feature_size is None else min(size, feature_size),
        bijector_fn=bijector_fn,
        activation=activation,
        input_order=input_order,
        seed=seed,
        dtype=dtype.name,
    )
    network = layer.networks[0]
    settings = Settings(
        base=base,
        num_flows=layer.num_flows,
        hidden_units=list(network.hidden_units),
        bijector_fn=_name_of(layer.map),
        activation=getattr(network.activation, "__name__", type(network.activation).__name__),
        degrees=[np.asarray(network.degrees).tolist() for network in layer.networks],
        feature_size=feature_size,
        # The supports and their order, by what they make of one point.
        unknowns=np.concatenate(
            [np.ravel(np.asarray(part, float)) for part in tf.nest.flatten(_forward(structure, point, joint_distribution))]
        ).tolist(),
    )
    if feature_size is not None:
        if base != "normal":
            raise ValueError(f"An amortized surrogate has a normal base, got base={base}: leave it out.")
        layer.build((None, feature_size))
        return AmortizedSurrogatePosterior(layer, structure, settings, name)
    layer.build_flows()
    zeros = tf.zeros([size], dtype)
    # The flows come first: what they read is standardized, wherever the posterior lies.
    affine = [tfb.Shift(tf.Variable(zeros, name="loc")), tfb.Scale(_positive(tf.ones_like(zeros), "scale"))]
    chain = tfb.Chain([structure, *affine, *layer.flows(None)[::-1]])
    if base == "normal":
        noise = tfd.MultivariateNormalDiag(zeros)
    else:
        # Five degrees of freedom at the start: a variance, and tails that are clearly heavier than the normal's.
        noise = tfd.Independent(tfd.StudentT(_positive(5.0 + zeros, "degrees_of_freedom"), zeros, tf.ones_like(zeros)), 1)
    surrogate = tfd.TransformedDistribution(noise, chain, name=name)
    surrogate.settings = settings  # TensorFlow tracks what a module's attributes hold.
    return surrogate


class AmortizedSurrogatePosterior(tf.Module):
    """A surrogate posterior that reads features: `surrogate(features)` is a distribution of batch shape [B].

    Made by `build_iaf_surrogate_posterior(joint_distribution, feature_size=F)`.

    >>> joint = tfd.JointDistributionNamed({"rate": tfd.LogNormal(0.0, 1.0), "x": lambda rate: tfd.Poisson(rate)})
    >>> surrogate = build_iaf_surrogate_posterior(joint.experimental_pin(x=2.0), feature_size=4)
    >>> surrogate(tf.ones([7, 4])).sample(3)["rate"].shape
    TensorShape([3, 7])
    """

    def __init__(self, posterior: Posterior, structure: tfp.bijectors.Bijector, settings: Settings, name: str) -> None:
        super().__init__(name)
        self.settings = settings
        self.posterior = posterior
        self._structure = structure
        # A tf.Module finds no Keras layers; it finds the TF variables below them.
        self._trained = _compat.tf_variables(posterior.trainable_weights)

    def __call__(self, features: TensorLike) -> tfp.distributions.Distribution:
        return tfd.TransformedDistribution(self.posterior.distribution(features), self._structure, name=self.name)


def _name_of(elementwise_map):
    """The name or the config of a map; of one that is not registered with Keras, the name of its class."""
    try:
        return maps.serialize(elementwise_map)
    except ValueError:
        return type(elementwise_map).__name__


def _positive(start, name):
    return tfp.util.TransformedVariable(start, tfb.Softplus(), name=name)


def _event_space(joint_distribution):
    """(the bijector from a vector of unconstrained numbers to the structure, the vector's size, its dtype)."""
    if not hasattr(joint_distribution, "experimental_default_event_space_bijector"):
        raise ValueError(f"joint_distribution must be a tfd.JointDistribution, pinned or not, got {given(joint_distribution)}.")
    dtypes = set(tf.nest.flatten(joint_distribution.dtype))
    if not dtypes:
        raise ValueError("All parts of the joint distribution are pinned: leave out the pins of the unknowns.")
    if len(dtypes) != 1 or not next(iter(dtypes)).is_floating:
        names = ", ".join(sorted(dtype.name for dtype in dtypes))
        raise ValueError(
            f"The unknowns must be continuous and have one floating-point dtype, got {names}: pin or marginalize discrete ones."
        )
    batch_shapes = {tuple(shape) for shape in _shapes(joint_distribution.batch_shape)}
    if batch_shapes - {()}:
        raise ValueError(
            f"The joint distribution has batch shapes {sorted(batch_shapes)}: wrap vectors of independent parts in tfd.Sample "
            "or tfd.Independent, or use an auto-batched joint distribution."
        )
    _check_pins(joint_distribution)
    try:
        bijector = _compat.fixed(joint_distribution.experimental_default_event_space_bijector())
    except (AttributeError, NotImplementedError) as error:  # The first from a part whose bijector is None.
        parts = ", ".join(_without_bijector(joint_distribution)) or "one"
        raise ValueError(
            "Each part must have a bijector from unconstrained numbers (experimental_default_event_space_bijector), but "
            f"{parts} has none (discrete distributions and mixtures do not): pin it, sum it out, or take one that has it."
        ) from error
    except TypeError as error:
        raise ValueError(
            "TFP failed to make the bijector from unconstrained numbers; those of simplices, spheres and single points "
            f"(Dirichlet, VonMisesFisher, Deterministic) need NumPy below 2.4, and this is {np.__version__}: {error}. For a "
            "Dirichlet take a subclass whose _default_event_space_bijector returns tfb.IteratedSigmoidCentered()."
        ) from error
    event_shape = joint_distribution.event_shape
    shapes = bijector.inverse_event_shape(event_shape)
    flat = _shapes(shapes)
    if not all(shape.is_fully_defined() for shape in flat):
        raise ValueError(f"The unknowns must have known shapes, got {event_shape}.")
    sizes = [shape.num_elements() for shape in flat]
    split = tfb.Split(sizes)
    reshape = tfb.JointMap([tfb.Reshape(shape, [size]) for shape, size in zip(flat, sizes)])
    restructure = tfb.Restructure(tf.nest.pack_sequence_as(_as_structure(shapes), list(range(len(flat)))))
    return tfb.Chain([bijector, restructure, reshape, split]), int(np.sum(sizes)), next(iter(dtypes))


def _unknowns(joint_distribution):
    """(name, distribution) of each part that is not pinned."""
    pins = getattr(joint_distribution, "pins", {})
    whole = getattr(joint_distribution, "distribution", joint_distribution)
    if isinstance(whole, tfd.JointDistribution):
        parts = _by_name(whole, whole.sample_distributions(seed=(0, 0))[0])
        yield from ((name, part) for name, part in parts.items() if name not in pins)


def _without_bijector(joint_distribution):
    """The names of the parts that have no bijector and are not pinned."""
    for name, part in _unknowns(joint_distribution):
        try:
            bijector = part.experimental_default_event_space_bijector()
        except (AttributeError, NotImplementedError):
            bijector = None
        if bijector is None:
            yield f"{name} ({type(part).__name__})"


def _forward(structure, point, joint_distribution):
    """The unknowns at a point of unconstrained numbers; where a bijector of TFP's fails there, an error names its part."""
    try:
        return structure.forward(point)
    except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
        for name, part in _unknowns(joint_distribution):
            bijector = part.experimental_default_event_space_bijector()
            try:
                bijector.forward(tf.zeros(bijector.inverse_event_shape(part.event_shape), part.dtype))
            except (TypeError, ValueError, tf.errors.InvalidArgumentError) as of_part:
                reason = (str(of_part) or type(of_part).__name__).splitlines()[0]
                dtype = getattr(part.dtype, "name", "of several dtypes")
                raise ValueError(
                    f"TFP's bijector from unconstrained numbers to {name} ({type(part).__name__}, {dtype}) fails: {reason}"
                ) from error
        raise


def _check_pins(joint_distribution):
    """The batch shapes of pinned parts, which a pinned joint distribution does not show, and the shapes of their values."""
    pins = getattr(joint_distribution, "pins", {})
    whole = getattr(joint_distribution, "distribution", joint_distribution)
    if not isinstance(whole, tfd.JointDistribution):
        return
    batch_shapes, event_shapes = whole.batch_shape, whole.event_shape
    # Of an auto-batched distribution the batch shape is one, and what would be a part's is in its event shape.
    is_auto_batched = isinstance(batch_shapes, tf.TensorShape)
    for name, event_shape in _by_name(whole, event_shapes).items():
        # A part may be a joint distribution itself.
        for batch_shape in () if is_auto_batched else _shapes(_by_name(whole, batch_shapes)[name]):
            if tuple(batch_shape):
                raise ValueError(
                    f"The pinned part {name} has batch shape {tuple(batch_shape)}: wrap it in tfd.Independent, or use an "
                    "auto-batched joint distribution."
                )
        values = tf.nest.flatten(pins[name]) if name in pins else []
        for value, shape in zip(map(tf.convert_to_tensor, values), _shapes(event_shape)):
            if shape.rank is not None and (value.shape.rank or 0) > shape.rank:
                raise ValueError(
                    f"The part {name} is pinned to a value of shape {tuple(value.shape)}, and one draw of it has shape "
                    f"{tuple(shape)}: write independent data as tfd.Sample(..., {tuple(value.shape)})."
                )


def _by_name(whole, structure):
    """A dict of what a joint distribution gives for each of its parts."""
    if hasattr(structure, "_asdict"):
        return structure._asdict()
    if isinstance(structure, dict):
        return structure
    return {name: part for (name, _), part in zip(whole.resolve_graph(), structure)}


def _shapes(structure):
    return tf.nest.flatten(_as_structure(structure))


def _as_structure(structure):
    # An empty TensorShape is a leaf; an empty tuple would be a structure without leaves.
    return tf.TensorShape(structure) if structure == () else structure
