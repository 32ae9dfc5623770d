"""Every bijector of the package and a user's own, by name, with weights away from their start, in float64."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties
from tfp_iaf.bijectors import (
    AdditiveCoupling,
    FlowBijector,
    HamiltonianFlow,
    InverseAutoregressiveFlow,
    LinearCholeskyIAF,
    MaskedAutoregressiveFlow,
    Planar,
    Radial,
    ReverseOrder,
    Sylvester,
    maps,
)
from tfp_iaf.networks import AutoregressiveNetwork, ConvAutoregressiveNetwork, Network, RecurrentAutoregressiveNetwork

tfd = tfp.distributions

EVENT_SIZE = 5
CONTEXT_SIZE = 3


def normals(*shape, seed=3):
    return tf.constant(np.random.default_rng(seed).normal(size=shape))


class Constructor(NamedTuple):
    """A function (batch_shape, seed) -> bijector, and what is to be known of it.

    Args:
        make: the function.
        event_shape: of its events.
        has_batch_shape: whether its context gives it one.
        is_variant: whether it differs from one before it in the map, the order or the layers alone, so that how TFP and
            TensorFlow handle the object can be tested on that one.
    """

    make: Callable
    event_shape: tuple = (EVENT_SIZE,)
    has_batch_shape: bool = True
    is_variant: bool = False

    def __call__(self, batch_shape=(), seed=0):
        return self.make(batch_shape, seed)

    @property
    def event_ndims(self):
        return len(self.event_shape)

    def events(self, *batch_shape, seed=3):
        return normals(*batch_shape, *self.event_shape, seed=seed)

    def base(self, *batch_shape):
        """A standard normal distribution."""
        zeros = tf.zeros([*batch_shape, *self.event_shape], tf.float64)
        return tfd.Independent(tfd.Normal(zeros, tf.ones_like(zeros)), self.event_ndims)

    def distribution(self, batch_shape=(), seed=0):
        return tfd.TransformedDistribution(self.base(*batch_shape), self(batch_shape, seed))


def flow_on(network, batch_shape=(), seed=0, flow_type=InverseAutoregressiveFlow, **kwargs):
    """A flow on this network with random weights and a random context."""
    if not network.built:
        network.build()
    properties.randomize(network, seed=seed)
    context = None if network.context_size is None else normals(*batch_shape, *network.context_shape, seed=seed)
    return flow_type(network, context=context, **kwargs)


def _dense(params=2, order="left-to-right", context_size=CONTEXT_SIZE, hidden_units=(20, 20), is_variant=True, **kwargs):
    def make(batch_shape, seed):
        network = AutoregressiveNetwork(
            params,
            EVENT_SIZE,
            hidden_units,
            context_size=context_size,
            input_order=order,
            activation="elu",
            seed=1,
            dtype="float64",
        )
        return flow_on(network, batch_shape, seed, **kwargs)

    return Constructor(make, has_batch_shape=context_size is not None, is_variant=is_variant)


def _recurrent(batch_shape, seed):
    network = RecurrentAutoregressiveNetwork(2, EVENT_SIZE, 6, "gru", CONTEXT_SIZE, "random", seed=1, dtype="float64")
    return flow_on(network, batch_shape, seed)


def _conv(event_shape, order="left-to-right", params=2, is_variant=False, **kwargs):
    def make(batch_shape, seed):
        network = ConvAutoregressiveNetwork(
            params, event_shape, (6,), context_channels=3, input_order=order, activation="elu", dtype="float64"
        )
        return flow_on(network, batch_shape, seed, **kwargs)

    return Constructor(make, event_shape, is_variant=is_variant)


@keras.saving.register_keras_serializable("tests")
class OwnNetwork(Network):
    """A linear network such as a user may write: no more than the contract asks for."""

    def __init__(self, event_shape, context_size=None, **kwargs):
        super().__init__(params=2, event_shape=event_shape, context_size=context_size, **kwargs)
        self.degrees = np.arange(1, self.event_shape[0] + 1)
        self.num_evaluations = 0

    def build(self, input_shape=None):
        (size,) = self.event_shape
        self.kernel = self.add_weight(name="kernel", shape=(size, size, 2), initializer="zeros")
        self.bias = self.add_weight(name="bias", shape=(size, 2), initializer="zeros")
        if self.context_size is not None:
            self.context_kernel = self.add_weight(name="context_kernel", shape=(self.context_size, size, 2))

    def call(self, y, context=None):
        self.num_evaluations += 1
        strictly_upper = np.triu(np.ones(self.event_shape * 2), 1)[..., np.newaxis]
        kernel = tf.convert_to_tensor(self.kernel)
        parameters = tf.einsum("...i,ijp->...jp", y, kernel * tf.cast(strictly_upper, kernel.dtype)) + self.bias
        return parameters if context is None else parameters + tf.einsum("...c,cjp->...jp", context, self.context_kernel)

    def get_config(self):
        config = super().get_config()
        del config["params"]
        return config


class OwnFlow(FlowBijector):
    """z = y L with L = [[1, 1/2, ...], ...]: such as a user may write, to the letter of the docstring."""

    def __init__(self, factor, name="own_flow"):
        parameters = dict(locals())
        self._factor = tf.convert_to_tensor(factor)
        super().__init__(forward_min_event_ndims=1, dtype=self._factor.dtype, parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {"factor": tfp.util.ParameterProperties(event_ndims=1)}

    def forward_and_log_det(self, y):
        z = y * self._factor
        return z, tf.reduce_sum(tf.math.log(self._factor) + tf.zeros_like(y), axis=-1)

    def inverse_and_log_det(self, z):
        return z / self._factor, tf.reduce_sum(tf.math.log(self._factor) + tf.zeros_like(z), axis=-1)


class NoInverse(FlowBijector):
    """A flow whose writer left the inverse out."""

    def __init__(self, name="no_inverse"):
        super().__init__(forward_min_event_ndims=1, parameters=dict(locals()), name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def forward_and_log_det(self, y):
        return 2.0 * y, tf.fill(tf.shape(y)[:-1], y.shape[-1] * tf.math.log(2.0))


class OwnMap(maps.ElementwiseMap):
    """z = y + a, a the sum of two parameters."""

    params = 2

    def forward(self, y, parameters):
        return y + tf.reduce_sum(parameters, axis=-1), tf.zeros_like(y)

    def inverse(self, z, parameters):
        return z - tf.reduce_sum(parameters, axis=-1), tf.zeros_like(z)


def sinh_arcsinh(parameters):
    return tfp.bijectors.SinhArcsinh(skewness=parameters[..., 0], tailweight=tf.exp(0.3 * tf.tanh(parameters[..., 1])))


FLOWS = {
    "affine": _dense(is_variant=False),
    "affine, random order": _dense(order="random"),
    "affine, no context": _dense(context_size=None, is_variant=False),
    "affine, no hidden layer": _dense(hidden_units=()),
    "affine, fixed point": _dense(inverse="fixed_point"),
    "affine, sequential inverse": _dense(inverse="sequential"),
    "gated": _dense(bijector_fn="gated"),
    "location": _dense(bijector_fn="location", params=1),
    "spline": _dense(bijector_fn="spline", params=8),
    "monotone": _dense(bijector_fn=maps.Monotone(3), params=11),
    "callable": _dense(bijector_fn=(sinh_arcsinh, 2)),
    "own map": _dense(bijector_fn=OwnMap()),
    "own network": Constructor(
        lambda batch_shape, seed: flow_on(OwnNetwork(EVENT_SIZE, CONTEXT_SIZE, dtype="float64"), batch_shape, seed)
    ),
    "recurrent": Constructor(_recurrent),
    "images": _conv((2, 3, 2)),
    "images, spline, right to left": _conv((2, 3, 2), "right-to-left", params=8, bijector_fn="spline", is_variant=True),
    "series": _conv((4, 2), is_variant=True),
}


def _linear_cholesky(batch_shape, seed):
    return LinearCholeskyIAF(normals(*batch_shape, EVENT_SIZE * (EVENT_SIZE - 1) // 2, seed=seed))


def banana(x):
    """A curved log-density of any number of entries."""
    return -0.5 * tf.reduce_sum(x**2, axis=-1) - 0.1 * tf.reduce_sum(tf.sin(x), axis=-1) ** 2


class Parametric(NamedTuple):
    """A flow whose parameters are tensors drawn from N(0, 1): (draw, event size) -> bijector.

    Args:
        make: the function; `draw(*shape)` draws a tensor with the batch shape before this shape.
        event_size: of the shared tests.
        is_variant: as in `Constructor`.
    """

    make: Callable
    event_size: int = EVENT_SIZE
    is_variant: bool = False

    def __call__(self, batch_shape=(), seed=0, event_size=None, dtype="float64"):
        rng = np.random.default_rng(seed)

        def draw(*shape):
            return tf.constant(rng.normal(size=[*batch_shape, *shape]), dtype)

        return self.make(draw, event_size or self.event_size)

    @property
    def constructor(self):
        return Constructor(self, (self.event_size,), is_variant=self.is_variant)


def _additive_coupling(draw, size):
    """An elementwise nonlinearity of a random linear network, whose kernels have no batch shape."""
    kept = [i % 2 == 0 for i in range(size)]
    context = draw(CONTEXT_SIZE)
    network = keras.layers.Dense(size - sum(kept), "elu", dtype=context.dtype.name)
    network.build((None, sum(kept) + CONTEXT_SIZE))
    properties.randomize(network, scale=2.0)
    return AdditiveCoupling(network, kept, context)


def _sylvester(**shapes):
    """`shapes`: a function of D -> the shape of `columns` or `reflections`; M is that of the columns, or D."""

    def make(draw, size):
        of_q = {name: draw(*shape(size)) for name, shape in shapes.items()}
        columns = of_q["columns"].shape[-1] if "columns" in of_q else size
        return Sylvester(draw(columns, columns), draw(columns, columns), draw(columns), **of_q)

    return make


PARAMETRIC = {
    "planar": Parametric(lambda draw, size: Planar(draw(size), draw(size), draw())),
    "radial": Parametric(lambda draw, size: Radial(draw(size), draw(), draw())),
    "additive coupling": Parametric(_additive_coupling),
    "Sylvester": Parametric(_sylvester(columns=lambda size: (size, max(1, size - 2)))),
    "Sylvester, Householder": Parametric(_sylvester(reflections=lambda size: (3, size)), is_variant=True),
    "Sylvester, triangular": Parametric(_sylvester(), is_variant=True),
    "Hamiltonian": Parametric(lambda draw, size: HamiltonianFlow(banana, 0.3 * draw(size // 2), 3), event_size=6),
}

BIJECTORS = {
    **FLOWS,
    **{name: parametric.constructor for name, parametric in PARAMETRIC.items()},
    "masked autoregressive": _dense(flow_type=MaskedAutoregressiveFlow, is_variant=False),
    "linear Cholesky": Constructor(_linear_cholesky),
    "reverse": Constructor(lambda batch_shape, seed: ReverseOrder(), has_batch_shape=False),
    "reverse, images": Constructor(lambda batch_shape, seed: ReverseOrder(3), (2, 3, 2), False, is_variant=True),
    "own flow": Constructor(lambda batch_shape, seed: OwnFlow(tf.exp(normals(*batch_shape, EVENT_SIZE, seed=seed)))),
}

# One of each kind of object.
DISTINCT = {name: constructor for name, constructor in BIJECTORS.items() if not constructor.is_variant}
