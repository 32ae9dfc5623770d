"""Strategies of tf.distribute for tests."""

import tensorflow as tf


def mirrored_strategy():
    """One over the two logical CPUs. Collective operations would mix up the strategies of one process."""
    cpus = tf.config.list_logical_devices("CPU")
    assert len(cpus) == 2, "conftest.py makes two"
    return tf.distribute.MirroredStrategy([cpu.name for cpu in cpus], tf.distribute.ReductionToOneDevice())
