"""How a model's file is written: whole, or not at all."""

import math
import os

import tensorflow as tf

from tfp_iaf._arguments import flag, path
from tfp_iaf._folders import written_beside

__all__ = ["bytes_of", "write_whole"]


def bytes_of(model):
    """Of all values that the model and its optimizer hold."""
    variables = [*model.variables, *(model.optimizer.variables if model.optimizer is not None else [])]
    return sum(math.prod(variable.shape) * tf.as_dtype(variable.dtype).size for variable in variables)


def write_whole(save, filepath, overwrite, num_bytes, **kwargs):
    """Calls `save(filepath, overwrite=...)`, which writes a file: a kill leaves what was there before, or the whole file.

    Args:
        save: the function.
        filepath, overwrite: as in Keras.
        num_bytes: of the values that it writes; an OSError says in one line that the disk has no room for them.
        **kwargs: for `save`.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     write_whole(lambda path, overwrite: path.write_text("new"), f"{parent}/model", overwrite=True, num_bytes=3)
    ...     pathlib.Path(parent, "model").read_text()
    'new'
    """
    flag("overwrite", overwrite)
    target = path("filepath", filepath)
    if "://" in str(filepath) or (not overwrite and os.path.exists(filepath)):
        save(filepath, overwrite=overwrite, **kwargs)  # No local file; or one where Keras asks the user first.
    else:
        with written_beside(target, num_bytes) as complete:
            save(complete, overwrite=True, **kwargs)
