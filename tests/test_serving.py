import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties
from tfp_iaf import VAE, objectives, serving
from tfp_iaf.posteriors import IAF, DiagonalGaussian, FullCovariance

POSTERIORS = {
    "diagonal": lambda: DiagonalGaussian(3),
    "full covariance": lambda: FullCovariance(3),
    "IAF": lambda: IAF(3, hidden_units=(12, 12)),
}


def model_and_data(posterior):
    keras.utils.set_random_seed(0)
    model = VAE(keras.layers.Dense(8, "elu"), posterior(), keras.layers.Dense(6))
    model.build((None, 6))
    properties.randomize(model)
    return model, (np.random.default_rng(0).random([7, 6]) < 0.5).astype(np.float32)


@pytest.mark.parametrize("posterior", POSTERIORS.values(), ids=POSTERIORS)
def test_signatures_equal_the_model(posterior, tmp_path):
    model, x = model_and_data(posterior)
    serving.export(model, tmp_path / "saved")
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    tasks = {"encode", "decode", "sample", "elbo", "posterior_log_prob", "log_likelihood"}
    assert tasks <= set(loaded.signatures)
    seed = tf.constant([4, 2])
    for rows in (1, 7):  # Any batch size.
        z, log_q = model.posterior(model.encode(x[:rows]), seed=seed)
        encoded = loaded.encode(x[:rows], seed)
        np.testing.assert_allclose(encoded["z"], z, atol=1e-5)
        np.testing.assert_allclose(encoded["log_q"], log_q, atol=1e-5)
        np.testing.assert_allclose(loaded.posterior_log_prob(x[:rows], z)["log_prob"], log_q, atol=1e-4)
        np.testing.assert_allclose(loaded.decode(z)["parameters"], model.decode(z), atol=1e-5)
        np.testing.assert_allclose(loaded.decode(z)["mean"], tf.sigmoid(model.decode(z)), atol=1e-5)
    np.testing.assert_allclose(loaded.sample(5, seed)["mean"], model.sample(5, seed), atol=1e-5)
    terms = model.elbo_terms(x, seed=seed)
    served = loaded.signatures["elbo"](x=tf.constant(x), seed=seed)
    np.testing.assert_allclose(served["elbo"], (terms["reconstruction"] - terms["kl"])[0], atol=1e-4)
    log_weights = []
    for index in range(8):
        terms = model.elbo_terms(x, seed=tf.random.experimental.stateless_fold_in(seed, index, alg="philox"))
        log_weights.append((terms["reconstruction"] - terms["kl"])[0])
    expected = objectives.importance_weighted_bound(tf.stack(log_weights))
    np.testing.assert_allclose(loaded.log_likelihood(x, 8, seed)["log_likelihood"], expected, atol=1e-4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least 1"):
        loaded.log_likelihood(x, 0, seed)


def test_seeds_are_inputs(tmp_path):
    model, x = model_and_data(POSTERIORS["IAF"])
    serving.export(model, tmp_path / "saved")
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    first, again, other = (loaded.encode(x, tf.constant([0, s]))["z"] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-2


def test_loads_in_a_process_with_tensorflow_alone(tmp_path):
    model, _ = model_and_data(POSTERIORS["IAF"])
    serving.export(model, tmp_path / "saved")
    script = f"""
import sys
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow_probability", "tfp_iaf", "tf_keras"):
            raise ImportError(name)
sys.meta_path.insert(0, Forbidden())
import tensorflow as tf
loaded = tf.saved_model.load({str(tmp_path / "saved")!r})
print(loaded.sample(4, tf.constant([0, 1]))["mean"].shape)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "(4, 6)", result.stderr[-2000:]


def test_nothing_half_written(tmp_path, monkeypatch):
    model, x = model_and_data(POSTERIORS["diagonal"])
    with pytest.raises(ValueError, match="not built"):
        serving.export(VAE(keras.layers.Dense(8), DiagonalGaussian(2), keras.layers.Dense(6)), tmp_path / "unbuilt")
    assert not list(tmp_path.iterdir())
    serving.export(model, tmp_path / "saved")
    with pytest.raises(ValueError, match="overwrite=True"):
        serving.export(model, tmp_path / "saved")
    mode = (tmp_path / "saved").stat().st_mode & 0o777
    (tmp_path / "plain").mkdir()
    assert mode == (tmp_path / "plain").stat().st_mode & 0o777
    (tmp_path / "plain").rmdir()
    serving.export(model, tmp_path / "saved", overwrite=True)
    replace = serving.os.replace

    def failing_replace(source, target):
        if str(source).endswith("new"):
            raise OSError("disk full")
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(serving.os, "replace", failing_replace)
        with pytest.raises(OSError, match="disk full"):
            serving.export(model, tmp_path / "saved", overwrite=True)
    kept = tf.saved_model.load(str(tmp_path / "saved"))
    assert kept.encode(x, tf.constant([0, 1]))["z"].shape == (7, 3)
    monkeypatch.setattr(tf.saved_model, "save", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        serving.export(model, tmp_path / "saved", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    assert loaded.encode(x, tf.constant([0, 1]))["z"].shape == (7, 3)
