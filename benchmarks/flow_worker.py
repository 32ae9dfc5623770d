"""One contender and one case in a process of its own; `benchmarks.flows` talks to it in lines of JSON.

    python -m benchmarks.flow_worker MODULE CONTENDER CASE

Builds the flow, checks it, and says what it is; then answers each line `{"quantity": ..., "seconds": ...}` with the time of
one call, measured over at least that many seconds.
"""

import importlib
import json
import os
import sys
import time

from benchmarks import conv_cases, flow_cases, vae_cases
from examples.provenance import version

CASES = {**flow_cases.CASES, **flow_cases.GROWTH, **conv_cases.CASES, **vae_cases.CASES}
# Log q from sampling against log q from inverting; float32, chains of 8.
TOLERANCE = 2e-2


def timed(function, seconds):
    """Milliseconds per call, over calls that fill the given time."""
    calls, start = 0, time.perf_counter()
    while True:
        function()
        calls += 1
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return 1e3 * elapsed / calls


def memory(field):
    """VmRSS (now) or VmHWM (peak) of this process in MiB; None where the system does not tell."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith(field))
    except (OSError, StopIteration):
        return None


def peak_memory(function, before):
    """The peak of resident memory during two calls, in MiB above `before`."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # Resets the peak.
    except OSError:
        return None
    function()
    function()
    return memory("VmHWM") - before


def first_call_and_memory(function, before):
    """(seconds of the first call, which builds, traces and compiles; the peak of memory afterwards)."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start, peak_memory(function, before)


def describe(flow, packages, before):
    # One after the other: a program that trains does not compile an inverse.
    measured = {name: first_call_and_memory(function, before) for name, function in flow.quantities.items()}
    sampled, inverted = flow.round_trip()
    error = float(abs(sampled - inverted).max())
    if not error <= TOLERANCE:
        raise ArithmeticError(f"log q from sampling and from inverting differ by {error}.")
    return {
        "parameters": flow.parameters,
        "round_trip_error": error,
        "first_call_seconds": {name: seconds for name, (seconds, _) in measured.items()},
        "peak_mib": {name: peak for name, (_, peak) in measured.items()},
        "versions": {package: version(package) for package in packages},
    }


def main(module_name, contender, case_name):
    # Libraries print to stdout; the conversation has a descriptor of its own.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    module = importlib.import_module(f"benchmarks.contenders.{module_name}")
    before = memory("VmRSS")
    flow = module.CONTENDERS[contender](CASES[case_name])
    print(json.dumps(describe(flow, module.PACKAGES, before)), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(timed(flow.quantities[request["quantity"]], request["seconds"])), file=answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
