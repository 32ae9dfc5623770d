"""Every test starts from the same seeds, on a machine with two logical devices."""

import gc
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf._eager import uncompiled
from tfp_iaf.models import ElboModel

# Two devices for the tests of tf.distribute; the rest run on the first.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

# Rooms whose tests hardly train.
WITHOUT_TRAINING = ("bijectors", "inverses", "networks", "posteriors")


def pytest_configure(config):
    # To rewrite graphs pays where they run often. `make test-long` and the examples' --smoke run with it.
    if config.option.markexpr == "not long":
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def pytest_collection_finish():
    # What was imported stays: garbage collection need not look at it again.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def fixed_seeds(request):
    """Python's seed is what Keras's initializers draw from, and TensorFlow's what `fit` shuffles by.

    TensorFlow forgets every kernel when it is seeded, which costs a tenth of the time of tests that call many operations once.
    """
    if request.node.path.parent.name in WITHOUT_TRAINING:
        random.seed(0)
        np.random.seed(0)
    else:
        keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def fit_without_xla(request, monkeypatch):
    """To compile takes longer than a test's few steps. `tests/models/test_vae.py` shows that training with XLA agrees."""
    if not request.node.get_closest_marker("compiled"):
        compile_model = ElboModel.compile
        monkeypatch.setattr(
            ElboModel, "compile", lambda model, *args, **kwargs: compile_model(model, *args, **{"jit_compile": False, **kwargs})
        )


@pytest.fixture(autouse=True)
def operation_by_operation(request):
    """Eager calls of flows run as such: to trace a graph for a test's few calls takes longer.

    Except in tests marked `compiled`, and of the package's and the pages' examples. `tests/test_eager.py` shows that both give
    the same bits.
    """
    if request.node.get_closest_marker("compiled") or not request.node.path.is_relative_to(request.config.rootpath / "tests"):
        yield
    else:
        with uncompiled():
            yield


@pytest.fixture(autouse=True, scope="module")
def clear_session():
    # Not after each test: it collects garbage, and takes as long as the tests.
    yield
    keras.backend.clear_session()
