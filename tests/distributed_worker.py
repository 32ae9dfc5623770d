"""One worker of a cluster that TF_CONFIG describes, for `tests/test_distributed.py`; writes the weights that it ends with."""

import sys

import tensorflow as tf

__all__ = []

if __name__ == "__main__":
    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # Before anything else: it connects the workers.

    import numpy as np

    from tests import test_distributed

    model, history = test_distributed.trained(strategy)
    names = sorted(history)
    weights = {f"weight_{index}": weight.numpy() for index, weight in enumerate(model.weights)}
    np.savez(sys.argv[1], **weights, **{name: history[name] for name in names})
