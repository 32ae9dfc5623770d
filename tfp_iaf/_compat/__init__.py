"""The only room that touches private API of TensorFlow, TensorFlow Probability and Keras.

| file | what is used | why there is no public way | what breaks if it moves |
|---|---|---|---|
| `variables.py` | `keras.Variable._value`; `Layer._flatten_layers`; the stateless scope and the call context of `keras.src`; `FuncGraph._watched_variables` | `tf.Module`, and so TFP, sees neither Keras layers nor Keras variables; nothing public tells of an active scope or call, of layers inside layers, or of what a graph has read before it is finished | flows list no `trainable_variables`, and inverses ignore a stateless scope; exports multiply masks; dropout in a network acts in inference; `fit` does not see that a part reads variables that are no weights of the model; `tests/_compat/test_variables.py` |
| `bijector_memory.py` | `tfb.Bijector._cache`, `BijectorCache`, the names that TFP calls | TFP answers an eager call from memory after a weight update, and keeps every traced graph alive | stale values, leaks; `tests/_compat/test_bijector_memory.py` |
| `composite_tensor.py` | `tf.__internal__.CompositeTensor`, `BatchableTypeSpec`, `_convert_variables_to_tensors` | TFP's automatic composite tensors read constructor arguments, in which a Keras network is no tensor | flows do not pass through `tf.function`, `Dataset.map`, loops; `tests/_compat/test_composite_tensor.py` |
| `chain.py` | the base class of `tfb.Chain` | `tfb.Chain(...)` is no `tfb.Chain` when a part is no composite tensor | `vi.fit` inverts flows to find the score, and is slow; `tests/_compat/test_chain.py` |
| `joint_distribution.py` | `tf.Module._TF_MODULE_IGNORED_PROPERTIES`, `_trackable_children` | the event-space bijector of a joint distribution holds its variables, which no surrogate should train, and parts that no checkpoint can write | surrogates train the joint distribution and have no checkpoints; `tests/_compat/test_joint_distribution.py` |
| `open_after_build.py` | `Layer._lock_state` | Keras closes a model when it is built, except for its own functional and sequential ones | subclasses of `HierarchicalVAE`, which its constructor builds, cannot add layers; `tests/_compat/test_open_after_build.py` |
| `custom_gradient.py` | the gradient registry | `tf.custom_gradient` keeps every traced graph alive | graphs are never freed; `tests/_compat/test_custom_gradient.py` |
| `vectorized_map.py` | the name of the scope that rows are traced in, `FuncGraph.outer_graph` | nothing public tells that operations are traced for `tf.vectorized_map`, which drops custom gradients | gradients of inverses raise an error there; `tests/_compat/test_vectorized_map.py` |
"""  # noqa: E501

from tfp_iaf._compat.bijector_memory import FreshBijector, fingerprint, forget
from tfp_iaf._compat.chain import Chain
from tfp_iaf._compat.composite_tensor import BijectorSpec, CompositeBijector
from tfp_iaf._compat.custom_gradient import custom_gradient, without_gradients
from tfp_iaf._compat.joint_distribution import fixed, is_fixed, variables_of_fixed
from tfp_iaf._compat.open_after_build import OpenAfterBuild
from tfp_iaf._compat.variables import (
    call_under_way,
    current_values,
    in_stateless_scope,
    layers_of,
    tf_variable,
    tf_variables,
    variables_read,
    with_values,
)
from tfp_iaf._compat.vectorized_map import in_vectorized_map

__all__ = [
    "BijectorSpec",
    "Chain",
    "CompositeBijector",
    "FreshBijector",
    "OpenAfterBuild",
    "call_under_way",
    "current_values",
    "custom_gradient",
    "fingerprint",
    "fixed",
    "forget",
    "in_stateless_scope",
    "in_vectorized_map",
    "is_fixed",
    "layers_of",
    "tf_variable",
    "tf_variables",
    "variables_of_fixed",
    "variables_read",
    "with_values",
    "without_gradients",
]
