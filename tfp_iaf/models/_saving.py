"""How a model's file is written: whole, or not at all."""

import os

from tfp_iaf._arguments import flag, path
from tfp_iaf._folders import written_beside

__all__ = ["write_whole"]


def write_whole(save, filepath, overwrite, **kwargs):
    """Calls `save(filepath, overwrite=...)`, which writes a file: a kill leaves what was there before, or the whole file.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     write_whole(lambda path, overwrite: path.write_text("new"), f"{parent}/model", overwrite=True)
    ...     pathlib.Path(parent, "model").read_text()
    'new'
    """
    flag("overwrite", overwrite)
    target = path("filepath", filepath)
    if "://" in str(filepath) or (not overwrite and os.path.exists(filepath)):
        save(filepath, overwrite=overwrite, **kwargs)  # No local file; or one where Keras asks the user first.
    else:
        with written_beside(target) as complete:
            save(complete, overwrite=True, **kwargs)
