import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf import VAE, DiagonalGaussian
from tfp_iaf.callbacks import TensorBoardImages

X = (np.random.default_rng(0).random([8, 4, 6]) < 0.5).astype(np.float32)
CONDITION = np.eye(8, dtype=np.float32)[:, :2]


class Joined(keras.layers.Layer):
    """A decoder that takes [z, condition], or an encoder that takes [x, condition]."""

    def __init__(self, *shape):
        super().__init__()
        self.dense = keras.layers.Dense(int(np.prod(shape)))
        self.shape = shape

    def build(self, input_shapes):
        self.dense.build((None, sum(np.prod(shape[1:]) for shape in input_shapes)))

    def call(self, inputs):
        rows = tf.concat([tf.reshape(part, [tf.shape(part)[0], -1]) for part in inputs], axis=-1)
        return tf.reshape(self.dense(rows), [-1, *self.shape])


def pictures(folder):
    """{(name, step): the picture} of the events in a folder."""
    found = {}
    for path in sorted((folder / "images").iterdir()):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                width, height, encoded = value.tensor.string_val
                picture = tf.io.decode_png(encoded).numpy()
                assert picture.shape[:2] == (int(height), int(width))
                found[value.tag, event.step] = picture
    return found


def test_writes_samples_and_reconstructions_every_so_many_epochs(tmp_path):
    model = VAE(Joined(8), DiagonalGaussian(2), Joined(4, 6))
    model.compile("adam", run_eagerly=True)
    callback = TensorBoardImages(tmp_path, (X, CONDITION), every=2, seed=3)
    model.fit((X, CONDITION), epochs=3, batch_size=8, verbose=0, callbacks=[callback])
    found = pictures(tmp_path)
    assert set(found) == {("samples", 1), ("reconstructions", 1)}
    # 8 images in 3 columns of 3 rows; pairs are twice as wide.
    assert found["samples", 1].shape == (3 * 5, 3 * 7, 1)
    assert found["reconstructions", 1].shape == (3 * 5, 3 * 13, 1)
    original, reconstruction = np.split(found["reconstructions", 1][:4, :12, 0], 2, axis=1)
    np.testing.assert_array_equal(original, 255 * X[0])
    assert reconstruction.std() > 0
    # The same after each epoch, but for what the model has learned.
    callback.on_train_begin()
    callback.on_epoch_end(3)
    callback.on_train_end()
    assert {("samples", 3), ("reconstructions", 3)} < set(pictures(tmp_path))


def test_refuses_what_it_cannot_draw(tmp_path):
    with pytest.raises(ValueError, match="every must be a positive integer"):
        TensorBoardImages(tmp_path, X, every=0)
    for x in (X.reshape([8, -1]), X[..., np.newaxis].repeat(2, axis=-1), X[:0]):
        with pytest.raises(ValueError, match=r"draws x of shape \[N, H, W\]"):
            TensorBoardImages(tmp_path, x).on_train_begin()
    assert not list(tmp_path.iterdir())


def test_images_that_the_model_cannot_take(tmp_path):
    """Before the first epoch, and not when the first picture is due."""
    model = VAE(
        keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)]),
        DiagonalGaussian(2),
        keras.Sequential([keras.layers.Dense(24), keras.layers.Reshape([4, 6])]),
    )
    model.compile("adam")
    for wrong in (255.0 * X, X[:, :3]):
        with pytest.raises(ValueError, match=r"0 or 1|shape"):
            model.fit(X, verbose=0, callbacks=[TensorBoardImages(tmp_path, wrong, every=9)])
