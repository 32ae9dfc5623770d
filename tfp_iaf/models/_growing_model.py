"""A Keras model whose subclasses add layers and weights of their own."""

from __future__ import annotations

from typing import Any

import keras

from tfp_iaf import _compat
from tfp_iaf.layers import TrackedLayer
from tfp_iaf.models._errors import REPORTED, raise_in_one_line

__all__ = ["GrowingModel"]


class GrowingModel(TrackedLayer, keras.Model):
    """A Keras model that builds what a subclass adds to it, before an optimizer or a file lists its weights.

    Attributes:
        density_dtype: of the data; a subclass sets it.
        data_shape, condition_shape: of an example and of its condition; None until the model is built, and without a condition.
    """

    density_dtype: str
    data_shape: tuple[int, ...] = None
    condition_shape: tuple[int, ...] | None = None
    _known_layers = 0
    _known_weights = 0

    def finish_build(self) -> None:
        layers = _compat.layers_of(self)
        # A model with a `build` of its own may leave its shapes unknown.
        if self.data_shape is not None and len(layers) != self._known_layers and not all(layer.built for layer in layers):
            self.call_symbolically()
        super().finish_build()
        self.know_layers()
        self._known_weights = len(self.weights)

    def know_layers(self) -> None:
        """Counts the layers: those that are not built now are not to be built by a call."""
        self._known_layers = len(_compat.layers_of(self))

    def grow(self) -> None:
        """Builds what a subclass has added to a built model since `finish_build`."""
        has_grown = len(_compat.layers_of(self)) != self._known_layers or len(self.weights) != self._known_weights
        if self.built and has_grown:
            with self.distribute_strategy.scope():
                self.finish_build()

    def call_symbolically(self) -> None:
        """Calls the model on data without values, which builds every layer that it calls."""
        shapes = [shape for shape in (self.data_shape, self.condition_shape) if shape is not None]
        symbolic: Any = tuple(keras.KerasTensor((None, *shape), self.density_dtype) for shape in shapes)
        data = symbolic if self.condition_shape is not None else symbolic[0]
        try:
            self.compute_output_spec(data)
            if not all(layer.built for layer in _compat.layers_of(self)):
                self.compute_output_spec(data, training=True)  # Some layers are called in training alone.
        except REPORTED as error:
            raise_in_one_line(error)
            raise
