"""Bijectors that pass into and out of `tf.function`, loops and datasets."""

import tensorflow as tf
from tensorflow.python.framework.type_spec import BatchableTypeSpec

__all__ = ["BijectorSpec", "CompositeBijector"]


class CompositeBijector(tf.__internal__.CompositeTensor):
    """A mix-in for `tfb.Bijector`s whose `_type_spec` property says what their components are.

    TensorFlow takes an object for a composite tensor by this base class alone. Where TensorFlow or TFP want one without
    variables (`Dataset.map`, results of loops), they ask for `_convert_variables_to_tensors`, which rebuilds the bijector on
    the variables' values.
    """

    def _convert_variables_to_tensors(self):
        spec = self._type_spec
        tensors = tf.nest.map_structure(tf.convert_to_tensor, spec._to_components(self))
        return spec._from_components(tensors)


class BijectorSpec(BatchableTypeSpec):
    """The base class of such a `_type_spec`: a `tf.TypeSpec` that the specs of Chain and TransformedDistribution may hold.

    Their specs are batchable, and warn about parts that are not, for example in `Dataset.map`. Flows share their network, so
    they cannot be batched.
    """

    def _batch(self, batch_size):
        raise NotImplementedError("Flows cannot be batched: batch what they are made from, such as their contexts.")

    def _unbatch(self):
        raise NotImplementedError("Flows cannot be unbatched: take rows of what they are made from, such as their contexts.")
