"""The checkpoint of a distributed run: written by the chief, and handed to the other workers by it."""

import hashlib
import json

__all__ = ["restore", "write_checkpoint"]

_WEIGHTS, _PROGRESS = "model.weights.h5", "progress.json"


def write_checkpoint(replicas, path, epochs, is_over):
    """Writes the model's state after so many epochs, as a folder that is there whole or not at all; `is_over` if a callback has
    ended the run."""

    def write(folder):
        folder.mkdir()
        replicas.model.save_weights(folder / _WEIGHTS)
        progress = {"epochs": epochs, "is_over": is_over, "sha256": _checksum(folder / _WEIGHTS)}
        (folder / _PROGRESS).write_text(json.dumps(progress))

    replicas.write(write, path)


def restore(replicas, path):
    """Puts the chief's checkpoint, if it has one, into every worker's model; returns its epochs, and whether it is over."""
    model, epochs, is_over = replicas.model, 0, False
    if replicas.is_chief and path.exists():
        try:
            progress = json.loads((path / _PROGRESS).read_text())
            if progress["sha256"] != _checksum(path / _WEIGHTS):
                raise ValueError("its checksum is another")
            model.load_weights(path / _WEIGHTS)
            epochs, is_over = int(progress["epochs"]), bool(progress["is_over"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"The checkpoint {path} is damaged or of another model ({reason}): choose another path."
            ) from error
    epochs, is_over = (
        replicas.sum(lambda replica, value=value: int(value) if replica == 0 else 0) for value in (epochs, is_over)
    )
    if epochs:
        of_metrics = {id(variable) for variable in model.metrics_variables}
        variables = [*model.variables, *model.optimizer.variables]
        replicas.take_from_chief([variable for variable in variables if id(variable) not in of_metrics])
    return epochs, bool(is_over)


def _checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
