"""A layer with noise of its own, which goes on where it stopped when the layer is saved and loaded."""

import keras
import tensorflow as tf

__all__ = ["SeededLayer", "checked_seed"]


def checked_seed(seed):
    """The seed as an int32 tensor; a ValueError unless it is of shape [2].

    >>> checked_seed([0, 1]).shape
    TensorShape([2])
    """
    seed = tf.cast(seed, tf.int32)
    if not seed.shape.is_compatible_with([2]):
        raise ValueError(f"seed must be an integer tensor of shape [2], such as [0, 1], got shape {seed.shape}.")
    return seed


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
        if seed is not None:
            return checked_seed(seed)
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        # The generator's state is the same in all replicas of tf.distribute; their noise must not be.
        replica = tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return seed
        return tf.random.experimental.stateless_fold_in(seed, replica.replica_id_in_sync_group, alg="philox")

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["seed_generator_state"] = self.seed_generator.state.numpy()

    def load_own_variables(self, store):
        store = {name: store[name] for name in store.keys()}  # noqa: SIM118 - an HDF5 group is no dict.
        self.seed_generator.state.assign(store.pop("seed_generator_state"))
        super().load_own_variables(store)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
