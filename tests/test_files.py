"""Files that an earlier version wrote still load, and say the same."""

import keras
import numpy as np
import pytest

from tests.make_files import FOLDER, MODELS, answers


@pytest.mark.parametrize("name", MODELS)
def test_files_load(name):
    model, x = MODELS[name]()
    loaded = keras.models.load_model(FOLDER / f"{name}.keras")
    expected = np.load(FOLDER / f"{name}.npz")
    twin = type(loaded).from_config(loaded.get_config()) if name == "hierarchical_vae" else model
    twin.build(x.shape if isinstance(x, np.ndarray) else tuple(part.shape for part in x))
    twin.load_weights(FOLDER / f"{name}.weights.h5")
    for restored in (loaded, twin):
        found = answers(restored, x)
        assert set(found) == set(expected)
        for key, value in found.items():
            np.testing.assert_allclose(value, expected[key], rtol=1e-3, atol=1e-3)
