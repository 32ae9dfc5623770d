"""Training a VAE by `model.fit` beside loops written by hand with TFP and with Pyro.

    python -m benchmarks.vaes --peers_python=.venv-peers/bin/python --out=benchmarks/results/vaes

As in `benchmarks.flows`, every contender runs in a process of its own, and all take turns. One JSON file per case is written.
"""

import json
import pathlib

from absl import app, flags

from benchmarks import flows
from benchmarks.contenders import VAE_MODULES
from benchmarks.vae_cases import CASES, QUANTITIES
from examples.provenance import provenance

FLAGS = flags.FLAGS
FLAGS.set_default("out", "runs/vaes")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    if FLAGS["cases"].present:
        raise app.UsageError(f"--cases is of the benchmark of flows; this one runs {', '.join(CASES)}.")
    contenders = flows.all_contenders(VAE_MODULES)
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    for case_name, case in CASES.items():
        origin = provenance()
        print(f"{case_name}: {case}", flush=True)
        rows, _ = flows.run_case(case_name, contenders, QUANTITIES)
        result = {"case": {"name": case_name, **vars(case)}, "contenders": rows, **origin}
        (out / f"{case_name.replace(' ', '_')}.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
