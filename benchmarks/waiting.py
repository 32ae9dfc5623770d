"""How long a user waits: for the import, and for the first training step of a VAE.

    python -m benchmarks.waiting --out=benchmarks/results/waiting.json

Every measurement is a process of its own; the posteriors take turns, and figures are medians over the rounds. The model is the
published small MLP of `benchmarks.step_cost`. "First step" is the time from the call of `fit` to the end of its first step:
building, tracing and compiling.
"""

import json
import pathlib
import statistics
import subprocess
import sys

from absl import app, flags

from examples import json_files
from examples.provenance import provenance

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/waiting.json", "Result file.")
flags.DEFINE_integer("rounds", 5, "Rounds.", lower_bound=1)

ROOT = pathlib.Path(__file__).resolve().parents[1]
POSTERIORS = "diagonal", "iaf"
MODES = {"graph": False, "XLA": True}

# TensorFlow, Keras and what a user of distributions imports of TFP; then this package; then the first step.
PROGRAM = """
import json, sys, time
posterior, jit_compile = sys.argv[1], sys.argv[2] == "True"
start = time.perf_counter()
import keras, numpy as np, tensorflow as tf, tensorflow_probability as tfp
tfp.bijectors.Bijector, tfp.distributions.Distribution
imported = time.perf_counter()
import tfp_iaf
ours_imported = time.perf_counter()
from benchmarks import step_cost

class FirstStep(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            self.end = time.perf_counter()

parts = step_cost.CASES["small_mlp"][0](posterior)
model = tfp_iaf.VAE(parts.encoder, parts.posterior, parts.decoder)
model.compile("adamax", jit_compile=jit_compile)
x, first = np.zeros([256, 28, 28], np.uint8), FirstStep()
begun = time.perf_counter()
model.fit(x, batch_size=128, verbose=0, callbacks=[first])
print(json.dumps({
    "import_others": imported - start, "import_tfp_iaf": ours_imported - imported, "first_step": first.end - begun,
}))
"""


def seconds(posterior, jit_compile):
    command = [sys.executable, "-c", PROGRAM, posterior, str(jit_compile)]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if answer.returncode:
        raise SystemExit(answer.stderr.strip().splitlines()[-1])
    return json.loads(answer.stdout.splitlines()[-1])


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    origin = provenance()
    rounds = [
        {(mode, posterior): seconds(posterior, jit) for mode, jit in MODES.items() for posterior in POSTERIORS}
        for _ in range(FLAGS.rounds)
    ]

    def median(key, *names):
        return statistics.median(each[name][key] for each in rounds for name in names)

    everything = [(mode, posterior) for mode in MODES for posterior in POSTERIORS]
    results = {
        "import_others": median("import_others", *everything),
        "import_tfp_iaf": median("import_tfp_iaf", *everything),
        "first_step": {
            mode: {
                **{posterior: median("first_step", (mode, posterior)) for posterior in POSTERIORS},
                "ratio": statistics.median(
                    each[mode, "iaf"]["first_step"] / each[mode, "diagonal"]["first_step"] for each in rounds
                ),
            }
            for mode in MODES
        },
    }
    print(json.dumps(results, indent=1))
    out = pathlib.Path(FLAGS.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    json_files.write(out, {"seconds": results, "settings": {"rounds": FLAGS.rounds}, **origin})


if __name__ == "__main__":
    app.run(main)
