"""Training a VAE by `model.fit` beside loops written by hand with TFP and with Pyro.

    python -m benchmarks.vaes --peers_python=.venv-peers/bin/python --out=benchmarks/results/vaes

As in `benchmarks.flows`, every contender runs in a process of its own, and all take turns. One JSON file per case is written.
"""

from absl import app, flags

from benchmarks import flows
from benchmarks.contenders import VAE_MODULES
from benchmarks.vae_cases import CASES, QUANTITIES

FLAGS = flags.FLAGS
FLAGS.set_default("out", "runs/vaes")


def main(argv):
    flows.run_all(argv, CASES, VAE_MODULES, QUANTITIES)


if __name__ == "__main__":
    app.run(main)
