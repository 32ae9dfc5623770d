"""That chains with and without parts that are composite tensors are found: `tests/vi/test_fitting.py` needs it."""

import tensorflow_probability as tfp

from tfp_iaf import _compat

tfb = tfp.bijectors


class NoComposite(tfb.Bijector):
    """A bijector as a user writes it."""

    def __init__(self):
        super().__init__(forward_min_event_ndims=0)


def test_every_chain_is_one():
    composite, other = tfb.Chain([tfb.Exp()]), tfb.Chain([NoComposite()])
    assert isinstance(composite, _compat.Chain) and isinstance(other, _compat.Chain)
    assert not isinstance(other, tfb.Chain), "TFP makes one class now: `_compat/chain.py` can go."
    assert not isinstance(tfb.JointMap([tfb.Exp()]), _compat.Chain)
