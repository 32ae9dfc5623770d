"""That composites pass through functions, loops and datasets: `tests/bijectors/test_flow_spec.py`."""

import tensorflow as tf

from tests.bijectors.constructors import FLOWS
from tfp_iaf import _compat


def test_tensorflow_takes_a_flow_for_a_composite_tensor():
    flow = FLOWS["affine"]((3,))
    assert isinstance(flow, _compat.CompositeBijector)
    parts = tf.nest.flatten(flow, expand_composites=True)
    assert len(parts) == 1 + len(flow.network.weights)
    again = tf.nest.pack_sequence_as(flow, parts, expand_composites=True)
    assert type(again) is type(flow)
    assert again.context is parts[0]


def test_conversion_leaves_no_variables():
    converted = FLOWS["affine"]((3,))._convert_variables_to_tensors()
    assert converted.variables == ()
    assert not any(isinstance(part, tf.Variable) for part in tf.nest.flatten(converted, expand_composites=True))
