"""A Keras model and its files."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfp_iaf.models._errors import first_line
from tfp_iaf.models._frames import column_names
from tfp_iaf.models._growing_model import GrowingModel
from tfp_iaf.models._saving import bytes_of, check_model_name, check_weights_name, write_whole
from tfp_iaf.models._twins import check_loading

__all__ = ["FileModel"]


class FileModel(GrowingModel):
    """A Keras model whose files are written whole or not at all, and keep the names of the columns that it was fitted on.

    Attributes:
        column_names: of the tables that were x and condition in `fit`, a list of texts each; None of data without names.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.column_names: list = [None, None]
        self._can_be_loaded = False

    @contextlib.contextmanager
    def columns_of(self, x: Any) -> Iterator[None]:
        """The names of the tables that training takes count from here on, unless the block raises an error."""
        before = self.column_names
        self.column_names = column_names(x if isinstance(x, tuple) else (x,), before)
        try:
            yield
        except ValueError:
            self.column_names = before
            raise

    def save(self, filepath: str | os.PathLike, overwrite: bool = True, **kwargs: Any) -> None:
        check_model_name(filepath, kwargs.get("zipped"))
        config = self.get_config()
        if not self._can_be_loaded:
            check_loading(self, config)
            self._can_be_loaded = True
        write_whole(super().save, filepath, overwrite, bytes_of(self), **kwargs)

    def save_weights(self, filepath: str | os.PathLike, overwrite: bool = True, **kwargs: Any) -> None:
        check_weights_name(filepath)
        write_whole(super().save_weights, filepath, overwrite, bytes_of(self), **kwargs)

    def load_weights(self, filepath: str | os.PathLike, skip_mismatch: bool = False, **kwargs: Any) -> None:
        self.check_built()
        self.grow()
        try:
            super().load_weights(filepath, skip_mismatch, **kwargs)
        except ValueError as error:
            raise ValueError(f"The weights in {str(filepath)!r} do not fit {self.name}: {first_line(error)}") from error

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        if any(self.column_names):
            # A store holds arrays.
            store["column_names"] = np.frombuffer(json.dumps(self.column_names).encode(), np.uint8)

    def load_own_variables(self, store: Any) -> None:
        store = {name: store[name] for name in store.keys()}  # noqa: SIM118 - an HDF5 group is no dict.
        if "column_names" in store:
            self.column_names = json.loads(np.asarray(store.pop("column_names"), np.uint8).tobytes())
        super().load_own_variables(store)
