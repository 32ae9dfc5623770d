"""A layer with noise of its own, which goes on where it stopped when the layer is saved and loaded."""

import keras
import tensorflow as tf

__all__ = ["SeededLayer"]


class SeededLayer(keras.layers.Layer):
    """Draws seeds from a `keras.random.SeedGenerator` whose state is saved with the weights; Keras saves none.

    Args:
        seed: integer seed of the noise; None draws one.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def next_seed(self, seed=None):
        """An int32 tensor of shape [2]: the given seed, or for None the generator's next."""
        return tf.cast(self.seed_generator.next() if seed is None else seed, tf.int32)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["seed_generator_state"] = self.seed_generator.state.numpy()

    def load_own_variables(self, store):
        store = {name: store[name] for name in store.keys()}  # noqa: SIM118 - an HDF5 group is no dict.
        self.seed_generator.state.assign(store.pop("seed_generator_state"))
        super().load_own_variables(store)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
