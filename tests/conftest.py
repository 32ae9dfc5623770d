"""Every test starts from the same seeds."""

import keras
import pytest


@pytest.fixture(autouse=True)
def fixed_seeds():
    keras.utils.set_random_seed(0)
    yield
    keras.backend.clear_session()
