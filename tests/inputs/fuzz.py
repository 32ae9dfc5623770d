"""Every public entry point with every kind of bad argument: what comes of it.

python -m tests.inputs.fuzz --out=benchmarks/results/bad_inputs.json
"""

import argparse
import collections
import contextlib
import io
import itertools
import linecache
import os
import pathlib
import re
import traceback
import warnings
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from examples import json_files, provenance
from tests.inputs import entry_points, model_entry_points  # noqa: F401 - they fill the table.
from tests.inputs.entries import ENTRIES, Entry
from tests.inputs.kinds import CALLS, MISTAKES, VALUES, Kind
from tfp_iaf._eager import uncompiled

__all__ = ["OUTCOMES", "Case", "all_cases", "few_cases", "outcome", "rooms", "table", "whole_tracebacks"]

# A line that says what was wrong; another error; no error; no error, and a result that is not finite.
OUTCOMES = ("right line", "other error", "accepted", "silent fault")


class Case(NamedTuple):
    """An entry point, the parameter that gets a bad argument, and the kind of it."""

    entry: Entry
    parameter: str
    kind: Kind

    def __str__(self):
        return f"{self.entry.room}.{self.entry.name}({self.parameter}: {self.kind.name})"


def rooms():
    """The names of the rooms, in order."""
    return list(dict.fromkeys(entry.room for entry in ENTRIES))


def all_cases(room):
    """All cases of a room, in a fixed order."""
    for entry in ENTRIES:
        if entry.room != room:
            continue
        arguments = entry.arguments()
        for name in entry.parameters:
            role = entry.role(name)
            for kind in VALUES.values():
                if not _takes(role, kind):
                    yield Case(entry, name, kind)
            if name in arguments:
                for kind in itertools.chain(*(MISTAKES[table].values() for table in role.mistakes)):
                    with contextlib.suppress(Exception):  # The mistake cannot be made with this argument.
                        kind.make(arguments[name])
                        yield Case(entry, name, kind)
        yield Case(entry, "", CALLS["an unknown keyword"])
        for name in entry.required:
            yield Case(entry, name, CALLS["a missing argument"])


def few_cases():
    """One case of each entry point: another parameter and another kind for each."""
    kinds = list(VALUES.values())
    for index, entry in enumerate(ENTRIES):
        if entry.parameters:
            name = entry.parameters[index % len(entry.parameters)]
            turned = kinds[7 * index % len(kinds) :] + kinds
            yield Case(entry, name, next(kind for kind in turned if not _takes(entry.role(name), kind)))


def _takes(role, kind):
    try:
        return bool(role.takes(kind.make()))
    except (TypeError, ValueError):
        return False


def outcome(case):
    """(one of `OUTCOMES`, a line that says more)."""
    arguments = case.entry.arguments()
    value = None
    if case.kind is CALLS["a missing argument"]:
        del arguments[case.parameter]
    elif case.kind is CALLS["an unknown keyword"]:
        arguments["nonsense"] = 1
    else:
        is_mistake = VALUES.get(case.kind.name) is not case.kind
        value = arguments[case.parameter] = case.kind.make(*([arguments[case.parameter]] if is_mistake else []))
    try:
        with uncompiled(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            result = case.entry.call(**arguments)
    except Exception as error:
        return _of_error(error, [*case.kind.says, *_descriptions(value)])
    if not all(np.isfinite(part).all() for part in _numbers_in(result)):
        return "silent fault", "the result is not finite"
    return "accepted", type(result).__name__


def _of_error(error, words):
    message = str(error).strip()
    frame = traceback.extract_tb(error.__traceback__)[-1]
    line = f"{type(error).__name__}: {message[:300]} [{os.path.basename(frame.filename)}:{frame.lineno}]"
    if type(error) not in (ValueError, TypeError, NotImplementedError):
        return "other error", line
    if not message or "\n" in message:
        return "other error", f"several lines: {line}"
    # Python's own line about the arguments of a call, or one that a `raise` wrote.
    is_of_call = isinstance(error, TypeError) and re.search(r"unexpected keyword|missing (\d+|a) required", message)
    if not (is_of_call or linecache.getline(frame.filename, frame.lineno).strip().startswith("raise ")):
        return "other error", f"by chance: {line}"
    if not any(word.lower() in message.lower() for word in words):
        return "other error", f"does not say what was given: {line}"
    return "right line", line


def _descriptions(value):
    """What a message may say of a value."""
    found = {" ".join(repr(value).split())[:40], " ".join(str(value).split())[:40], type(value).__name__}
    with contextlib.suppress(Exception):  # Whatever NumPy raises.
        array = value if hasattr(value, "shape") else np.asarray(value)
        found |= {getattr(array.dtype, "name", str(array.dtype)), str(array.dtype)}
        if array.dtype != object:
            shape = tuple(array.shape)
            found |= {str(shape), str(list(shape)), str(shape[1:]), f"Saw: {len(shape)}", "expects events"}
            found |= {form.format(size) for size in shape[:1] for form in ("got {}", "and {}", " {},", "({},)", "[{}, ")}
            found |= {"single number", "got 1"} if shape == () else set()
            found |= {"int32", "float32"} if np.dtype(array.dtype).kind in "if" else set()  # TensorFlow's of Python's numbers.
    if isinstance(value, list | tuple | dict | set):
        found |= {f"got {len(value)}", *map(repr, value)}
        found |= {str(np.shape(each)) for each in value if hasattr(each, "shape")}
    if isinstance(value, np.ndarray) and value.size < 10:
        found |= {form(each) for each in value.flat for form in (repr, str)}
    # The last are said of an argument that is not wanted at all.
    return {word for word in (*found, getattr(value, "__name__", "")) if word} | {"takes no", "leave it out", "got both"}


def _numbers_in(result):
    for part in tf.nest.flatten(result):
        if isinstance(part, tf.Tensor | np.ndarray | float | np.floating) and np.asarray(part).dtype.kind == "f":
            yield np.asarray(part)


@contextlib.contextmanager
def whole_tracebacks():
    """Filtered tracebacks hide where an error comes from."""
    keras.config.disable_traceback_filtering()
    tf.debugging.disable_traceback_filtering()
    try:
        yield
    finally:
        keras.config.enable_traceback_filtering()
        tf.debugging.enable_traceback_filtering()


def table(counts):
    """The lines of a table of the outcomes by room, from a dict of counters."""
    lines = [f"{'room':<14}{'cases':>8}" + "".join(f"{name:>14}" for name in OUTCOMES)]
    total = sum(counts.values(), collections.Counter())
    for room, counter in [*counts.items(), ("all", total)]:
        lines.append(f"{room:<14}{sum(counter.values()):>8}" + "".join(f"{counter[name]:>14}" for name in OUTCOMES))
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rooms", nargs="*", help="only these")
    parser.add_argument("--match", default="", help="only cases whose line holds this")
    parser.add_argument("--every", type=int, default=1, help="only every so many")
    parser.add_argument("--out", type=pathlib.Path, help="a JSON file")
    options = parser.parse_args()
    counts = {}
    kinds = set()
    with whole_tracebacks():
        for room in options.rooms or rooms():
            counts[room] = collections.Counter()
            for case in itertools.islice(all_cases(room), 0, None, options.every):
                if options.match in str(case):
                    name, line = outcome(case)
                    counts[room][name] += 1
                    kinds.add(case.kind.name)
                    if name != "right line":
                        print(f"{name} | {case} | {line}", flush=True)
    print(*table(counts), f"{len(ENTRIES)} entry points, {len(kinds)} kinds of bad arguments", sep="\n")
    if options.out:
        content = {**provenance.provenance(), "entry_points": len(ENTRIES), "kinds": sorted(kinds), "outcomes": counts}
        json_files.write(options.out, content)


if __name__ == "__main__":
    main()
