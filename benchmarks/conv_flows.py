"""Convolutional flows beside the paper's published form of them, written by hand.

    python -m benchmarks.conv_flows --out=benchmarks/results/conv_flows

As in `benchmarks.flows`, every contender runs in a process of its own, and all take turns. One JSON file per case is written.
"""

from absl import app, flags

from benchmarks import flows
from benchmarks.contenders import CONV_MODULES
from benchmarks.conv_cases import CASES

FLAGS = flags.FLAGS
FLAGS.set_default("out", "runs/conv_flows")


def main(argv):
    flows.run_all(argv, CASES, CONV_MODULES)


if __name__ == "__main__":
    app.run(main)
