"""What a `tfb.Bijector` remembers of its last calls, so that one evaluation serves a sample and its density."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf._compat.variables import in_stateless_scope

__all__ = ["FreshBijector", "fingerprint", "forget"]

tfb = tfp.bijectors

_TFP_MEMORY = tfb.Bijector._cache
_COLLECTION = "tfp_iaf_memory"


class _Memory(type(_TFP_MEMORY)):  # type: ignore[misc]
    """TFP's cache, kept with the bijector (eager calls) or the graph (traced ones). TFP keeps one for the whole process."""

    def __get__(self, bijector, bijector_class=None):
        if bijector is None:
            return self
        return type(_TFP_MEMORY)(
            forward_name=self._forward_name,
            inverse_name=self._inverse_name,
            bijector=bijector,
            bijector_class=bijector_class,
            storage=bijector._eager_memory() if tf.executing_eagerly() else _graph_memory(),
        )


class FreshBijector(tfp.bijectors.Bijector):
    """A bijector that never answers from memory with values from before a weight update.

    TFP keeps what a bijector computed for a tensor as long as the tensor lives, and answers with it. Here, before the first
    answer of an eager call, the variables are compared with those of the last call (one pass over their values): if they
    changed, what this bijector and the compositions it belongs to (`tfb.Chain`, `tfb.Invert`, ...) remember is dropped. TFP
    asks every bijector for its dtype before it looks anything up, also within a composition, so that is where the comparison
    stands.

    Instances are distinct, and hash by identity. A flow that holds a user's function, which may read variables that TFP is not
    shown, sets `_reads_unseen`: nothing is remembered between its eager calls.
    """

    _cache = _Memory()
    _reads_unseen = False

    def __hash__(self):
        return id(self)

    def __eq__(self, other):
        return self is other

    def forward_dtype(self, *args, **kwargs):
        self._forget_if_changed()
        return super().forward_dtype(*args, **kwargs)

    def inverse_dtype(self, *args, **kwargs):
        self._forget_if_changed()
        return super().inverse_dtype(*args, **kwargs)

    def _remember_log_det(self, direction, x, log_det):
        """Stores log|det| of the forward direction for x, the input of this direction ("forward" or "inverse")."""
        # A tensor of a tf.cond's or a loop's body is of no use outside.
        if getattr(x, "graph", None) is getattr(log_det, "graph", None):
            memory = self._cache
            attributes = memory.forward_attributes(x) if direction == "forward" else memory.inverse_attributes(x)
            attributes["ildj"] = -log_det

    def _eager_memory(self):
        holder = self.__dict__.get("_eager_memory_holder")
        if holder is None:
            self.__dict__["_seen_weights"] = self._look()
            holder = self.__dict__["_eager_memory_holder"] = _Holder()
        return holder.storage

    def _forget_if_changed(self):
        # Without a memory, no value of this bijector was ever asked for, and no composition remembers one.
        if not tf.executing_eagerly() or "_eager_memory_holder" not in self.__dict__:
            return
        seen = self._look()
        if seen != self.__dict__["_seen_weights"]:
            self.__dict__["_seen_weights"] = seen
            self.__dict__["_eager_memory_holder"] = _Holder()
            _forget_compositions_of(self)

    def _look(self):
        # Nothing is remembered of values that variables have in a `keras.StatelessScope`.
        return object() if self._reads_unseen or in_stateless_scope() else self._look_at_weights()

    def _look_at_weights(self):
        """Bytes that tell the values of the variables from others."""
        return fingerprint(self.variables).numpy().tobytes()


class _Holder:
    """A storage that stays with one bijector: a copy of the bijector gets an empty one."""

    def __init__(self):
        self.storage = type(_TFP_MEMORY.storage)()

    def __copy__(self):
        return _Holder()

    def __deepcopy__(self, memo):
        return _Holder()


def forget(bijector):
    """Drops what TFP remembers for a bijector and its parts, which would keep every graph traced here alive."""
    for part in (bijector, *bijector.submodules):
        if isinstance(part, tfb.Bijector):
            part._cache.clear()


def _graph_memory():
    collection = tf.compat.v1.get_default_graph().get_collection_ref(_COLLECTION)
    if not collection:
        collection.append(type(_TFP_MEMORY.storage)())
    return collection[0]


def fingerprint(variables):
    """64-bit hashes of all variables, `[n, 8]` bytes: TensorFlow's variables do not tell when they have changed."""
    rows = [tf.reshape(variable, [1, -1]) for variable in variables]
    hashes = [tf.raw_ops.Fingerprint(data=row, method="farmhash64") for row in rows]
    return tf.concat(hashes, axis=0) if hashes else tf.zeros([0, 8], tf.uint8)


def _forget_compositions_of(bijector):
    storage = _TFP_MEMORY.storage
    for key in list(storage):
        composition, tensors = key.subkey[0], key()
        is_eager = tensors is not None and all(hasattr(tensor, "numpy") for tensor in tf.nest.flatten(tensors))
        if is_eager and any(part is bijector for part in composition.submodules):
            key.cancel()
            storage.pop(key, None)
