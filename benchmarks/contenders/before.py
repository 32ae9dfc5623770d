"""tfp_iaf of another checkout, as that checkout's own benchmark builds it.

The environment variable `TFP_IAF_BEFORE` holds the path of the checkout. Contenders are named "before: tfp_iaf XLA" and so on.
"""

import importlib.util
import os
import pathlib
import sys
import types

from benchmarks.contenders import tf_timing

__all__ = ["CONTENDERS", "PACKAGES"]

CHECKOUT = pathlib.Path(os.environ["TFP_IAF_BEFORE"]).resolve()


def load():
    """The module `benchmarks/contenders/ours.py` of the checkout, on the checkout's package."""
    sys.path.insert(0, str(CHECKOUT))
    import tfp_iaf

    if CHECKOUT not in pathlib.Path(tfp_iaf.__file__).parents:
        raise ImportError(f"tfp_iaf was imported from {tfp_iaf.__file__}, expected it below {CHECKOUT}.")
    spec = importlib.util.spec_from_file_location("before_ours", CHECKOUT / "benchmarks" / "contenders" / "ours.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


OURS = load()
PACKAGES = OURS.PACKAGES


def make(case, name):
    # Checkouts before the second edition say `num_steps`.
    return OURS.CONTENDERS[name](types.SimpleNamespace(**vars(case), num_steps=case.num_flows))


CONTENDERS = {
    f"before: {name}": lambda case, name=name: make(case, name) for name in [f"tfp_iaf {mode}" for mode in tf_timing.MODES]
}
