"""The flows of this package against their peers: forward, training step, inverse; time and memory.

    python -m benchmarks.flows --peers_python=.venv-peers/bin/python

Every contender runs in a process of its own. All contenders of a case take turns, for a number of rounds, so that a busy
moment of the machine hits all; figures are medians over the rounds. One JSON file per case is written when the case is done.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from absl import app, flags

from benchmarks.contenders import MODULES
from benchmarks.flow_cases import CASES, GROWTH, QUANTITIES, SKIPPED
from examples import json_files
from examples.provenance import provenance

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/flows", "Folder of the JSON files, one per case.")
flags.DEFINE_string("peers_python", None, "Python that has PyTorch, JAX and the peers' packages; without it, TFP alone.")
flags.DEFINE_list("cases", list(CASES), f"Cases: {', '.join((*CASES, *GROWTH))}.")
flags.DEFINE_multi_string("contender", None, "Name of a contender; may be given several times. All if not given.")
flags.DEFINE_integer("rounds", 7, "Rounds.", lower_bound=1)
flags.DEFINE_integer("slow_rounds", 3, "Rounds of what takes over a second per call.", lower_bound=1)
flags.DEFINE_float("seconds", 0.3, "Shortest measurement of a round.", lower_bound=0.0)
flags.register_validator(
    "cases", lambda cases: set(cases) <= {*CASES, *GROWTH}, message=f"a case is not among: {', '.join((*CASES, *GROWTH))}"
)

ROOT = pathlib.Path(__file__).resolve().parents[1]
SLOW_MS = 1e3
# For the threads of the process that has just been timed to go to sleep.
PAUSE_SECONDS = 0.05


class Worker:
    """A `benchmarks.flow_worker` process."""

    def __init__(self, python, module, contender, case):
        # A file, since a pipe that nobody reads holds the process up when it is full; `close` closes it.
        self._messages = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.flow_worker", module, contender, case],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            cwd=ROOT,
            text=True,
        )
        self.description = self._answer()

    def milliseconds(self, quantity):
        time.sleep(PAUSE_SECONDS)
        request = {"quantity": quantity, "seconds": FLAGS.seconds}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self):
        self._process.kill()
        self._process.communicate()
        self._messages.close()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self._messages.seek(0)
            lines = self._messages.read().strip().splitlines()
            self.close()
            raise RuntimeError(lines[-1] if lines else f"ended with status {status}, without a message.")
        return json.loads(line)


def contenders_of(python, module):
    """The names of a module's contenders, asked in its own environment."""
    code = f"import benchmarks.contenders.{module} as m, json; print(json.dumps(list(m.CONTENDERS)))"
    answer = subprocess.run([python, "-c", code], capture_output=True, cwd=ROOT, text=True)
    if answer.returncode:
        raise SystemExit(f"{python} cannot import the contenders of {module}: {answer.stderr.strip().splitlines()[-1]}")
    return json.loads(answer.stdout.splitlines()[-1])


def all_contenders(modules=MODULES):
    """(name, python, module) of every contender asked for."""
    pythons = {"own": sys.executable, "peers": FLAGS.peers_python and (shutil.which(FLAGS.peers_python) or FLAGS.peers_python)}
    pythons = {environment: python and os.path.abspath(python) for environment, python in pythons.items()}
    found = [
        (name, pythons[environment], module)
        for module, environment in modules.items()
        if pythons[environment]
        for name in contenders_of(pythons[environment], module)
    ]
    unknown = set(FLAGS.contender or ()) - {name for name, _, _ in found}
    if unknown:
        raise app.UsageError(f"Unknown contenders {sorted(unknown)}; there are: {', '.join(name for name, _, _ in found)}.")
    return [entry for entry in found if FLAGS.contender is None or entry[0] in FLAGS.contender]


def run_case(case_name, contenders, quantities=QUANTITIES):
    """What was measured of one case.

    Returns:
        Two dicts by contender: its row, a description with milliseconds of each quantity; and the milliseconds of every round.
    """
    rows, workers, rounds = {}, {}, {}
    with contextlib.ExitStack() as stack:
        pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
        started = {name: pool.submit(Worker, python, module, name, case_name) for name, python, module in contenders}
        for name, future in started.items():
            try:
                workers[name] = future.result()
            except RuntimeError as error:
                rows[name] = {"error": str(error)}
                print(f"  {name}: {error}")
                continue
            stack.callback(workers[name].close)
            print(f"  {name} is ready", flush=True)
            rows[name] = {**workers[name].description, "milliseconds": {}}
        for quantity in quantities:
            taking_part = [name for name in workers if quantity in rows[name]["peak_mib"]]
            samples = {name: [] for name in taking_part}
            for round_ in range(FLAGS.rounds):
                for name in taking_part:
                    slow = samples[name] and samples[name][0] > SLOW_MS
                    if not slow or round_ < FLAGS.slow_rounds:
                        samples[name].append(workers[name].milliseconds(quantity))
            for name, values in samples.items():
                rounds.setdefault(name, {})[quantity] = values
            print(f"  {quantity}")
            for name in sorted(taking_part, key=lambda name: statistics.median(samples[name])):
                median = statistics.median(samples[name])
                rows[name]["milliseconds"][quantity] = {
                    "median": median,
                    "lowest": min(samples[name]),
                    "highest": max(samples[name]),
                    "rounds": len(samples[name]),
                }
                print(f"    {median:10.2f} ms  {name}", flush=True)
    return rows, rounds


def run_cases(cases, contenders_of_case, quantities=QUANTITIES):
    """Runs cases, a dict from names to dataclasses, and writes a JSON file for each when it is done."""
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    for name, case in cases.items():
        print(f"{name}: {case}", flush=True)
        origin = provenance()
        rows, _ = run_case(name, contenders_of_case(name), quantities)
        result = {"case": {"name": name, **vars(case)}, "contenders": rows, **origin}
        json_files.write(out / f"{name.replace(' ', '_')}.json", result)


def run_all(argv, cases, modules, quantities=QUANTITIES):
    """The program of another benchmark: all of its cases, with all contenders of its modules."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    if FLAGS["cases"].present:
        raise app.UsageError(f"--cases is of the benchmark of flows; this one runs {', '.join(cases)}.")
    contenders = all_contenders(modules)
    run_cases(cases, lambda name: contenders, quantities)


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    contenders = all_contenders()

    def contenders_of_case(name):
        skipped = SKIPPED.get(name.split()[0], ())
        return [contender for contender in contenders if contender[0] not in skipped]

    run_cases({name: (CASES | GROWTH)[name] for name in FLAGS.cases}, contenders_of_case)


if __name__ == "__main__":
    app.run(main)
