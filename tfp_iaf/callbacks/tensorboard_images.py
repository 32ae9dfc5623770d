"""Pictures of samples and reconstructions for TensorBoard."""

from __future__ import annotations

import math
import os

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf._arguments import integer, path
from tfp_iaf._types import Data, Seed
from tfp_iaf.noise import seed_pair

__all__ = ["TensorBoardImages"]


class TensorBoardImages(keras.callbacks.Callback):
    """Writes a grid of samples, and one of reconstructions beside their originals, for TensorBoard.

    The pictures are E[x given z]: of z from the prior, one for each given image, and of z from the posterior of the given
    images. Works with every model of images that has `sample` and `reconstruct`, such as a `VAE`, a `HierarchicalVAE` or a
    `models.ElboModel` of your own. A conditional model draws its samples under the conditions of the given images. The seed is
    the same each time, so that pictures differ by what the model has learned. Beside `keras.callbacks.TensorBoard` with the
    same `log_dir`, the pictures stand with the curves.

    Args:
        log_dir: a folder; the pictures go to `images/` in it.
        x: some images, such as 25, `[N, H, W]` or `[N, H, W, C]` with C = 1 or 3; for a conditional model (x, condition).
        every: how many epochs lie between two pictures.
        seed: an integer or a pair.

    Raises:
        ValueError: for arguments out of range; in `fit`, for data that are no images, or that the model does not take.

    >>> from tfp_iaf import VAE, DiagonalGaussian
    >>> model = VAE(
    ...     keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(8)]), DiagonalGaussian(2),
    ...     keras.Sequential([keras.layers.Dense(16), keras.layers.Reshape((4, 4))]))
    >>> model.compile("adam")
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pictures = TensorBoardImages(folder, x=np.ones([9, 4, 4]))
    ...     _ = model.fit(np.ones([32, 4, 4]), callbacks=[pictures], verbose=0)
    ...     os.listdir(folder)
    ['images']
    """

    def __init__(self, log_dir: str | os.PathLike, x: Data, every: int = 1, seed: Seed = 0) -> None:
        super().__init__()
        self.log_dir = path("log_dir", log_dir)
        self.x = x
        self.every = integer("every", every)
        self.seed = seed_pair(seed)
        self._writer: tf.summary.SummaryWriter | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        images, _ = self._images_and_condition()
        if not (images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (1, 3))) or not len(images):
            raise ValueError(
                f"TensorBoardImages draws x of shape [N, H, W] or [N, H, W, C] with C = 1 or 3, got {list(images.shape)}."
            )
        self.model.check_data(self.x)
        self._writer = tf.summary.create_file_writer(str(self.log_dir / "images"))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if (epoch + 1) % self.every:
            return
        images, condition = self._images_and_condition()
        samples = self.model.sample(len(images), self.seed, **({} if condition is None else {"condition": condition}))
        pairs = np.concatenate([images, self.model.reconstruct(self.x, self.seed)], axis=2)
        limits = getattr(self.model.likelihood, "data_range", None) or (images.min(), images.max())
        with self._writer.as_default(step=epoch):
            for name, drawn in (("samples", samples), ("reconstructions", pairs)):
                tf.summary.image(name, _grid(np.asarray(drawn, np.float32), *limits))
        self._writer.flush()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self._writer.close()

    def _images_and_condition(self):
        x, condition = (*self.x, None)[:2] if isinstance(self.x, tuple) else (self.x, None)
        return np.asarray(x), condition


def _grid(images, low, high):
    """One picture `[1, height, width, C]` of images `[N, H, W]` or `[N, H, W, C]`, a pixel of space between them."""
    images = images.reshape([*images.shape[:3], -1])
    images = np.clip((images - low) / (high - low or 1.0), 0.0, 1.0)
    columns = math.ceil(math.sqrt(len(images)))
    padded = np.pad(images, [(0, -len(images) % columns), (0, 1), (0, 1), (0, 0)])
    count, height, width, channels = padded.shape
    rows = padded.reshape([count // columns, columns, height, width, channels]).swapaxes(1, 2)
    return rows.reshape([1, count // columns * height, columns * width, channels])
