"""Compiled speed for eager calls: the pure functions behind flows and posteriors are traced once per layer with weights."""

import contextlib
import contextvars
import functools
import threading
import weakref

import tensorflow as tf

from tfp_iaf import _compat

__all__ = ["compiled_when_eager", "other_variables", "run_compiled", "uncompiled"]

# More than any program holds at once: a program that makes a new function for every call must not fill the memory.
_MAX_FUNCTIONS = 64

# The name of the attribute of an owner that holds what was traced for it.
_ATTRIBUTE = "_functions_of_eager_calls"
_is_uncompiled = contextvars.ContextVar("is_uncompiled", default=False)


@contextlib.contextmanager
def uncompiled():
    """Inside, eager calls run operation by operation: for code that looks at values on their way."""
    token = _is_uncompiled.set(True)
    try:
        yield
    finally:
        _is_uncompiled.reset(token)


def compiled_when_eager(function):
    """Makes eager calls of a function of tensors, such as a search in a loop, run as a graph.

    >>> @compiled_when_eager
    ... def double(x):
    ...     return 2.0 * x
    >>> double(tf.constant(1.5)).numpy().item()
    3.0
    """
    compiled = tf.function(function, autograph=False, reduce_retracing=True)

    @functools.wraps(function)
    def call(*tensors):
        is_plain = tf.executing_eagerly() and not _is_uncompiled.get() and not tf.distribute.has_strategy()
        return (compiled if is_plain else function)(*tensors)

    return call


def run_compiled(owner, function, settings, tensors, event_ndims, at_once=True):
    """`function(owner, *settings, *tensors)`; an eager call runs a graph of it.

    One graph serves all batch sizes and all objects with this owner. It reads the owner's variables with each call, and goes
    with the owner.

    Args:
        owner: a built Keras layer.
        function: a module's function.
        settings: a tuple of hashable objects.
        tensors: a tuple of tensors, with None where there is none.
        event_ndims: for each of these the number of trailing axes that have fixed sizes.
        at_once: whether the first call makes the graph. Otherwise the second one does, and the first runs operation by
            operation: for functions that take much longer to trace than to run.
    """
    is_plain = (
        tf.executing_eagerly()
        and not _is_uncompiled.get()
        and not _compat.in_stateless_scope()
        and not tf.distribute.has_strategy()
        and not any(0 in tensor.shape for tensor in tensors if tensor is not None)
    )
    if not is_plain:
        return function(owner, *settings, *tensors)
    # Layers that act otherwise in training inherit `training` while they are traced.
    call = _compat.call_under_way()
    kinds = tuple(None if tensor is None else (tensor.shape.rank, tensor.dtype) for tensor in tensors)
    key = (function, settings, kinds, None if call is None else call.training)
    # The owner keeps its graphs, so that garbage collection can free both. In its __dict__, where Keras looks for no layers.
    own = owner.__dict__.get(_ATTRIBUTE) or owner.__dict__.setdefault(_ATTRIBUTE, _Functions())
    traced = own.get(key)
    if traced is None:
        # Calls of what is traced already do not wait for it.
        with own.lock:
            traced = own.get(key)
            if traced is None:
                is_known = key in own
                if not is_known and len(own) >= _MAX_FUNCTIONS:
                    own.clear()
                if at_once or is_known:
                    traced = _traced(weakref.ref(owner), function, settings, tensors, event_ndims)
                    own.note_variables(traced.variables, owner)
                own[key] = traced
    return (
        function(owner, *settings, *tensors)
        if traced is None
        else traced(*(tensor for tensor in tensors if tensor is not None))
    )


def other_variables(owner):
    """The variables that eager calls of a layer have read and that are none of its own, as those in a map."""
    functions = owner.__dict__.get(_ATTRIBUTE)
    return [] if functions is None else functions.other_variables


class _Functions(dict):
    """What was traced for one owner, or None for what the next call traces: a copy of the owner starts with none."""

    def __init__(self):
        super().__init__()
        self.lock = threading.RLock()
        self.other_variables = []

    def note_variables(self, variables, owner):
        """Keeps those of a graph's variables that are none of the owner's."""
        known = {id(variable) for variable in (*_compat.tf_variables(owner.variables), *self.other_variables)}
        self.other_variables += [variable for variable in variables if id(variable) not in known]

    def __copy__(self):
        return _Functions()

    def __deepcopy__(self, memo):
        return _Functions()


def _traced(reference, function, settings, tensors, event_ndims):
    def spec(tensor, num_fixed):
        batch_ndims = tensor.shape.rank - num_fixed
        return tf.TensorSpec([*[None] * batch_ndims, *tensor.shape[batch_ndims:]], tensor.dtype)

    def call(*present):
        present = iter(present)
        return function(reference(), *settings, *(None if tensor is None else next(present) for tensor in specs))

    specs = [None if tensor is None else spec(tensor, num_fixed) for tensor, num_fixed in zip(tensors, event_ndims)]
    # The concrete function: TensorFlow warns of retracing where many functions are called once each.
    compiled = tf.function(call, input_signature=[each for each in specs if each is not None], autograph=False)
    return compiled.get_concrete_function()
