"""Compiled speed for eager calls: the pure functions behind a flow are traced once per network."""

import contextlib
import contextvars
import functools
import threading
import weakref

import tensorflow as tf

from tfp_iaf import _compat

__all__ = ["compiled_when_eager", "run_compiled", "uncompiled"]

# More than any program holds at once: a program that makes a new function for every call must not fill the memory.
_MAX_FUNCTIONS = 64

# The name of the attribute of an owner that holds what was traced for it.
_ATTRIBUTE = "_functions_of_eager_calls"
_lock = threading.RLock()
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


def run_compiled(owner, function, settings, event_ndims, y, context, values, at_once=True):
    """`function(owner, *settings, y, context, values)`; an eager call runs a graph of it.

    One graph serves all batch sizes and all objects with this owner. It reads the owner's variables with each call, and goes
    with the owner.

    Args:
        owner: a built Keras layer.
        function: a module's function.
        settings: a tuple of hashable objects.
        event_ndims: the number of trailing axes of y and of the context that have fixed sizes.
        y: `[..., *event]`.
        context: a tensor, or None.
        values: tensors, or None.
        at_once: whether the first call makes the graph. Otherwise the second one does, and the first runs operation by
            operation: for functions that take much longer to trace than to run.
    """
    is_plain = (
        tf.executing_eagerly()
        and not _is_uncompiled.get()
        and not _compat.in_stateless_scope()
        and not tf.distribute.has_strategy()
        and 0 not in y.shape
        and (context is None or 0 not in context.shape)
    )
    if not is_plain:
        return function(owner, *settings, y, context, values)
    has_context, has_values = context is not None, values is not None
    tensors = [y, *([context] if has_context else []), *(values or [])]
    ranks = y.shape.rank, context.shape.rank if has_context else None
    # Layers that act otherwise in training inherit `training` while they are traced.
    call = _compat.call_under_way()
    key = (function, settings, ranks, has_values, None if call is None else call.training)
    with _lock:
        # Kept with the owner: a gradient in a graph may hold the owner, and garbage collection then finds the cycle. In its
        # __dict__, where Keras does not look for layers.
        own = owner.__dict__.setdefault(_ATTRIBUTE, _Functions())
        traced = own.get(key)
        if traced is None:
            is_known = key in own
            if not is_known and len(own) >= _MAX_FUNCTIONS:
                own.clear()
            if at_once or is_known:
                traced = _traced(weakref.ref(owner), function, settings, has_context, has_values, event_ndims, tensors)
            own[key] = traced
    return function(owner, *settings, y, context, values) if traced is None else traced(*tensors)


class _Functions(dict):
    """What was traced for one owner, or None for what the next call traces: a copy of the owner starts with none."""

    def __copy__(self):
        return _Functions()

    def __deepcopy__(self, memo):
        return _Functions()


def _traced(reference, function, settings, has_context, has_values, event_ndims, tensors):
    def call(y, *others):
        context = others[0] if has_context else None
        values = others[has_context:] if has_values else None
        return function(reference(), *settings, y, context, values)

    def any_batch(tensor):
        shape = tensor.shape
        return tf.TensorSpec(
            [*(None for _ in shape[: shape.rank - event_ndims]), *shape[shape.rank - event_ndims :]], tensor.dtype
        )

    num_batched = 1 + has_context
    signature = [any_batch(tensor) for tensor in tensors[:num_batched]]
    signature += [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in tensors[num_batched:]]
    # The concrete function: TensorFlow warns of retracing where many functions are called once each.
    return tf.function(call, input_signature=signature, autograph=False).get_concrete_function()
