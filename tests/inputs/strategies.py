"""What hypothesis draws: shapes, orders, and numbers of every size."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

__all__ = ["DTYPES", "arrays", "batch_shapes", "finite", "numbers", "orders", "tolerance", "widths"]

DTYPES = st.sampled_from(["float32", "float64"])
# Two leading axes at most, and batches without rows.
batch_shapes = st.lists(st.integers(0, 3), max_size=2).map(tuple)
widths = st.lists(st.integers(1, 9), max_size=2).map(tuple)


def orders(size):
    """Input orders of so many entries."""
    names = st.sampled_from(["left-to-right", "right-to-left"])
    return names | st.permutations(range(1, size + 1)).map(list)


def finite(largest=4.0):
    """Finite numbers, zeros of both signs and denormals among them; of float32, so that casting changes none."""
    largest = float(np.float32(largest))
    return st.floats(-largest, largest, width=32)


def numbers(largest=1e30):
    """As `finite`, and NaN and the infinities."""
    return finite(largest) | st.sampled_from([np.nan, np.inf, -np.inf])


def arrays(shape, elements, dtype="float32"):
    return npst.arrays(np.float32, shape, elements=elements).map(lambda array: array.astype(dtype))


def tolerance(dtype, size=1.0):
    """What rounding may change numbers of this size by."""
    return (2e-4 if dtype == "float32" else 1e-9) * np.maximum(1.0, size)
