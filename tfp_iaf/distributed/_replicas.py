"""The replicas of a strategy, as one worker sees them."""

import math
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

from tfp_iaf._folders import written_beside

__all__ = ["Replicas", "is_chief"]


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process has the first replica of the strategy: the one that writes files and prints.

    >>> is_chief(tf.distribute.get_strategy())
    True
    """
    own = set()

    def note(context):
        own.add(context.replica_id_in_sync_group)
        return tf.constant(0)

    strategy.experimental_distribute_values_from_function(note)
    return 0 in own


class Replicas:
    """The replicas of a model's strategy, as one worker sees them.

    Attributes:
        is_chief: whether the first replica is this worker's.
    """

    def __init__(self, model):
        self.model = model
        self.strategy = model.distribute_strategy
        self.count = self.strategy.num_replicas_in_sync
        self.is_chief = is_chief(self.strategy)

    def values(self, function):
        """`function(number of the replica)` for each replica of this worker, as `strategy.run` takes it."""
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(function(context.replica_id_in_sync_group))
        )

    def split(self, batch):
        """The parts of a batch, a tuple of arrays, that the replicas get: as many rows for each.

        Returns:
            The model's input, x or (x, condition), as values of the replicas; a function from a replica's number to the mask of
            its rows, which is 0 for rows that only fill it up; and the share of rows that are not such.
        """
        count = len(batch[0])
        size = math.ceil(count / self.count)

        def rows(replica):
            return np.arange(replica * size, (replica + 1) * size)

        parts = tuple(self.values(lambda replica, array=array: array[np.minimum(rows(replica), count - 1)]) for array in batch)
        share = count / (size * self.count)
        return parts if len(parts) > 1 else parts[0], lambda replica: (rows(replica) < count).astype(np.float32), share

    def function(self, step, reduce_op):
        """`step` on every replica, its dict of scalars reduced over all of them; compiled, unless the model runs eagerly."""

        def run(data):
            results = self.strategy.run(reduced, args=(data,))
            return {name: self.strategy.experimental_local_results(value)[0] for name, value in results.items()}

        def reduced(data):
            values = tf.nest.map_structure(tf.convert_to_tensor, step(data))  # Keras 3.10 gives some metrics as floats.
            return tf.distribute.get_replica_context().all_reduce(reduce_op, values)

        return run if self.model.run_eagerly else tf.function(run, autograph=False, reduce_retracing=True)

    def sum(self, function):
        """The sum over all replicas of `function(number of the replica)`, an integer."""
        return int(self.strategy.reduce("SUM", self.values(lambda replica: np.int64(function(replica))), axis=None))

    def take_from_chief(self, variables):
        """Assigns the variables the values that they have on the chief."""

        def chosen():
            context = tf.distribute.get_replica_context()
            is_first = tf.equal(context.replica_id_in_sync_group, 0)
            values = [tf.convert_to_tensor(variable) for variable in variables]
            # Not all kinds of integers can be summed as they are.
            values = [value if value.dtype.is_floating else tf.cast(value, tf.int64) for value in values]
            # One by one: a list must have one dtype.
            return [context.all_reduce("SUM", tf.where(is_first, value, tf.zeros_like(value))) for value in values]

        for variable, value in zip(variables, self.strategy.run(tf.function(chosen, autograph=False))):
            variable.assign(tf.cast(self.strategy.experimental_local_results(value)[0], variable.dtype))

    def write(self, write, path):
        """Calls `write(path)` on all workers, whose metrics take part in it, and keeps what the chief writes."""
        if self.is_chief:
            with written_beside(path) as complete:
                write(complete)
        else:
            with tempfile.TemporaryDirectory() as folder:
                write(pathlib.Path(folder, path.name))
