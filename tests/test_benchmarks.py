"""The benchmarks record how they were started, and measure what they name."""

import importlib.machinery
import json
import os
import subprocess
import sys

import pytest

from benchmarks import before_after, flows
from benchmarks.contenders import ours, tf_timing
from benchmarks.flow_cases import CASES, QUANTITIES
from examples.provenance import provenance
from tests.imports import ROOT


def test_the_program_of_every_result_exists():
    results = [json.loads(path.read_text()) for path in (ROOT / "benchmarks" / "results").rglob("*.json")]
    commands = [result["command"] for result in results if "command" in result]
    for command in commands:
        _, program, *arguments = command.split()
        path = f"{arguments[0].replace('.', '/')}.py" if program == "-m" else program
        assert (ROOT / path).is_file(), command
    assert len(commands) > 50


@pytest.mark.parametrize(
    ("module", "expected"), [("benchmarks.flows", "python -m benchmarks.flows --rounds=3"), (None, "python run.py --rounds=3")]
)
def test_the_command_of_a_result_is_the_one_that_was_given(monkeypatch, module, expected):
    spec = None if module is None else importlib.machinery.ModuleSpec(module, None)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    monkeypatch.setattr(sys, "argv", [os.path.abspath("run.py"), "--rounds=3"])
    assert provenance()["command"] == expected


@pytest.mark.long
def test_a_worker_times_the_flows_of_another_checkout():
    request = json.dumps({"quantity": "inverse", "seconds": 0.0}) + "\n"
    worker = subprocess.run(
        [sys.executable, "-m", "benchmarks.flow_worker", "before", "before: tfp_iaf graph", "growth D16"],
        cwd=ROOT,
        env={**os.environ, "TFP_IAF_BEFORE": str(ROOT)},
        input=request,
        capture_output=True,
        text=True,
        check=True,
    )
    description, milliseconds = (json.loads(line) for line in worker.stdout.splitlines())
    assert set(description["first_call_seconds"]) == set(description["peak_mib"]) == set(QUANTITIES)
    assert 0.0 < milliseconds < 1e3 * description["first_call_seconds"]["inverse"]


def test_no_compiled_function_calls_another(monkeypatch):
    running = []

    def compile_(function):
        def called(*arguments):
            assert not running
            running.append(function)
            outputs = function(*arguments)
            running.clear()
            return outputs

        return called

    monkeypatch.setitem(tf_timing.MODES, "one level", compile_)
    flow = ours.make(CASES["growth D16"], "one level")
    for function in flow.quantities.values():
        function()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        # More than a pipe holds.
        ("head -c 300000 /dev/zero | tr '\\0' x >&2; echo >&2; echo the cause >&2", "^the cause$"),
        ("exit 7", "^ended with status 7, without a message.$"),
    ],
)
def test_a_worker_that_fails_says_why(tmp_path, script, message):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    with pytest.raises(RuntimeError, match=message):
        flows.Worker(str(python), "ours", "tfp_iaf graph", "D64")


def test_figures_of_before_and_after():
    names = ("before: tfp_iaf XLA", "tfp_iaf XLA")
    rows = {name: {"first_call_seconds": {"forward": seconds}} for name, seconds in zip(names, (4.0, 1.0))}
    rounds = {names[0]: {"forward": [10.0, 20.0, 30.0]}, names[1]: {"forward": [5.0, 20.0, 60.0]}}
    figures = before_after.compare(rows, rounds, "XLA", "forward")
    assert (figures["ratio"], figures["lowest_ratio"], figures["highest_ratio"]) == (1.0, 0.5, 2.0)
    assert (figures["before_ms"], figures["after_ms"], figures["first_call_ratio"]) == (20.0, 20.0, 0.25)
