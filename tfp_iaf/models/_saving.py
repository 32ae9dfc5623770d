"""How a model's file is written: whole, or not at all."""

import math
import os
import re

import tensorflow as tf

from tfp_iaf._arguments import flag, given, path
from tfp_iaf._folders import written_beside

__all__ = ["bytes_of", "check_model_name", "check_weights_name", "write_whole"]


def bytes_of(model):
    """Of all values that the model and its optimizer hold."""
    optimizer = getattr(model, "optimizer", None)  # Keras sets it in `compile`.
    variables = [*model.variables, *(optimizer.variables if optimizer is not None else [])]
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


def check_model_name(filepath, zipped=None):
    """Raises a ValueError unless Keras can write a whole model to a file of this name.

    Args:
        filepath: of the file, or an address with "://".
        zipped: as in Keras: a folder has any name, where it is False.

    >>> check_model_name("model.keras")
    """
    name = str(path("filepath", filepath))
    if name.endswith((".h5", ".hdf5")):
        raise ValueError(f"The old HDF5 format loses parts of the model, got {given(name)}: save it as a .keras file.")
    if zipped is not False:
        _check_ending("A model is saved as", filepath, (".keras",), "; serving.export writes a folder that needs no Keras")


def check_weights_name(filepath):
    """Raises a ValueError unless Keras can write weights to a file of this name.

    >>> check_weights_name("model.weights.h5")
    """
    path("filepath", filepath)
    _check_ending("Weights are saved as", filepath, (".weights.h5", ".weights.json"))


def _check_ending(what, filepath, endings, further=""):
    if not str(filepath).endswith(endings) and "://" not in str(filepath):
        name = re.sub(r"\.(keras|h5|hdf5)$", "", os.path.basename(os.path.normpath(filepath)))
        raise ValueError(
            f"{what} a {endings[0]} file, got {given(str(filepath))}: call it {given(f'{name}{endings[0]}')}{further}."
        )
