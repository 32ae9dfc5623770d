"""The checkpoint of a distributed run: written by the chief, and handed to the other workers by it."""

import hashlib
import json

__all__ = ["restore", "write_checkpoint"]

_WEIGHTS, _PROGRESS = "model.weights.h5", "progress.json"


def write_checkpoint(replicas, path, epochs):
    """Writes the model's state after so many epochs, as a folder that is there whole or not at all."""

    def write(folder):
        folder.mkdir()
        replicas.model.save_weights(folder / _WEIGHTS)
        (folder / _PROGRESS).write_text(json.dumps({"epochs": epochs, "sha256": _checksum(folder / _WEIGHTS)}))

    replicas.write(write, path)


def restore(replicas, path):
    """Puts the chief's checkpoint, if it has one, into the model of every worker; returns the number of its epochs."""
    model, epochs = replicas.model, 0
    if replicas.is_chief and path.exists():
        try:
            progress = json.loads((path / _PROGRESS).read_text())
            if progress["sha256"] != _checksum(path / _WEIGHTS):
                raise ValueError("its checksum is another")
            model.load_weights(path / _WEIGHTS)
            epochs = int(progress["epochs"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"The checkpoint {path} is damaged or of another model ({reason}): choose another path."
            ) from error
    epochs = replicas.sum(lambda replica: epochs if replica == 0 else 0)
    if epochs:
        of_metrics = {id(variable) for variable in model.metrics_variables}
        variables = [*model.variables, *model.optimizer.variables]
        replicas.take_from_chief([variable for variable in variables if id(variable) not in of_metrics])
    return epochs


def _checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
