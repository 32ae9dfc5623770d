"""Every test starts from the same seeds, on a machine with two logical devices."""

import keras
import pytest
import tensorflow as tf

# Two devices for the tests of tf.distribute; the rest run on the first.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(autouse=True)
def fixed_seeds():
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="module")
def clear_session():
    # Not after each test: it collects garbage, and takes as long as the tests.
    yield
    keras.backend.clear_session()
