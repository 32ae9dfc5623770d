"""What TFP's cache holds of flows; that values are fresh: `tests/bijectors/test_base.py`."""

import copy
import gc

import tensorflow as tf
import tensorflow_probability as tfp

from tests.bijectors.constructors import FLOWS
from tfp_iaf import _compat

tfb = tfp.bijectors


def test_a_value_is_remembered_while_the_weights_stay():
    flow, y = FLOWS["affine"](), FLOWS["affine"].events(3)
    z = flow.forward(y)
    assert flow.forward(y) is z
    assert flow.inverse(z) is y


def test_flows_leave_nothing_in_the_store_of_tfp():
    before = len(tfb.Bijector._cache.storage)
    flow, y = FLOWS["affine"](), FLOWS["affine"].events(3)
    kept = [flow.forward(y), flow.inverse(y)]
    kept.append(tf.function(flow.forward, autograph=False)(y))
    assert len(kept) == 3
    assert len(tfb.Bijector._cache.storage) == before


def test_a_copy_remembers_nothing():
    flow, y = FLOWS["affine"](), FLOWS["affine"].events(3)
    z = flow.forward(y)
    for twin in (copy.copy(flow), copy.deepcopy(flow)):
        assert twin.forward(y) is not z


def test_forget_drops_what_tfp_remembers():
    storage = tfb.Bijector._cache.storage
    before = len(storage)
    chain = tfb.Chain([tfb.Scale(2.0), tfb.Shift(1.0)])
    tf.function(chain.forward, autograph=False).get_concrete_function(tf.ones([2]))
    assert len(storage) > before
    _compat.forget(chain)
    gc.collect()
    assert len(storage) == before
