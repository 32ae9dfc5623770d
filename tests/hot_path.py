"""Which files of the package run in a call: its hot path.

`python -m tests.hot_path` prints the files of two calls, and writes them into CONTRIBUTING.md.
"""

import ast
import itertools
import pathlib
import re
import sys

import keras
import tensorflow as tf

import tfp_iaf
from tests.imports import ROOT

__all__ = ["CALLS", "changes_of_file", "distinct", "files_of_calls", "with_tours"]

PACKAGE = str(pathlib.Path(tfp_iaf.__file__).parent) + "/"
# Wide enough for every way in which a masked kernel is multiplied.
HIDDEN_UNITS = (512, 512)


def files_of_calls(function):
    """The file of each Python call into the package while `function()` runs, in order, without `tfp_iaf/`."""
    files = []

    def record(frame, event, argument):
        del argument
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            files.append(frame.f_code.co_filename.removeprefix(PACKAGE))

    before = sys.getprofile()
    sys.setprofile(record)
    try:
        function()
    finally:
        sys.setprofile(before)
    return files


def distinct(files):
    """Each file once, in the order of the first calls."""
    return list(dict.fromkeys(files))


def changes_of_file(files):
    """How often two calls that follow one another lie in different files."""
    return sum(first != second for first, second in itertools.pairwise(files))


def iaf():
    """A posterior whose eager calls run the code from which their graph is made, but for that of the networks."""
    layer = tfp_iaf.IAF(latent_size=4, hidden_units=HIDDEN_UNITS)
    layer.compiles_eager_calls = False
    return layer


def posterior():
    """A function that draws from an IAF posterior, built and called once before."""
    layer = iaf()
    features = tf.random.stateless_normal([8, 6], seed=[0, 1])
    layer(features)
    return lambda: layer(features)


def training_step():
    """A function that trains a VAE for one eager step, built and called once before."""
    model = tfp_iaf.VAE(
        encoder=keras.Sequential([keras.layers.Dense(16, "relu")]),
        posterior=iaf(),
        decoder=keras.Sequential([keras.layers.Dense(16, "relu"), keras.layers.Dense(12)]),
    )
    model.compile(keras.optimizers.Adamax(2e-3), run_eagerly=True)
    batch = tf.ones([8, 12])
    model.fit(batch, verbose=0)
    return lambda: model.fit(batch, verbose=0)


CALLS = {"posterior": posterior, "training_step": training_step}


def tour(name):
    """The files of one of `CALLS` as a numbered list, each with the first line of its docstring."""
    lines = []
    for number, file in enumerate(distinct(files_of_calls(CALLS[name]())), start=1):
        docstring = ast.get_docstring(ast.parse(pathlib.Path(PACKAGE, file).read_text()))
        lines.append(f"{number}. `{file}`: {docstring.splitlines()[0]}")
    return "\n".join(lines)


def with_tours(text):
    """CONTRIBUTING.md's text with the part between each pair of markers written anew."""
    for name in CALLS:
        pattern = rf"(<!-- tour {name} -->\n).*?(<!-- end -->)"
        text, count = re.subn(pattern, lambda match, name=name: f"{match[1]}{tour(name)}\n{match[2]}", text, flags=re.S)
        if count != 1:
            raise ValueError(f"CONTRIBUTING.md must have one tour `{name}`, has {count}.")
    return text


def main():
    for name, make in CALLS.items():
        files = files_of_calls(make())
        print(f"{name}: {len(distinct(files))} files, {changes_of_file(files)} changes of file")
        print("\n".join(f"  {file}" for file in distinct(files)))
    contributing = ROOT / "CONTRIBUTING.md"
    contributing.write_text(with_tours(contributing.read_text()))


if __name__ == "__main__":
    main()
