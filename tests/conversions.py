"""Which signatures of an export convert to LiteRT and ONNX: converts each, and compares its answers with the export's.

    python -m tests.conversions iaf planar

needs the extra `serving`. Prints rows of the table of docs/serving.md.
"""

import pathlib
import sys
import tempfile

import keras
import numpy as np
import tensorflow as tf

from tests import properties
from tfp_iaf import posteriors, serving
from tfp_iaf.models import VAE

__all__ = ["POSTERIORS", "SIGNATURES", "row", "rows_of_documentation"]

SIZE = 3
POSTERIORS = {
    "DiagonalGaussian": lambda: posteriors.DiagonalGaussian(SIZE),
    "FullCovariance": lambda: posteriors.FullCovariance(SIZE),
    "IAF, affine": lambda: posteriors.IAF(SIZE, hidden_units=(8,)),
    "IAF, gated": lambda: posteriors.IAF(SIZE, hidden_units=(8,), bijector_fn="gated"),
    "IAF, spline": lambda: posteriors.IAF(SIZE, num_flows=1, hidden_units=(8,), bijector_fn="spline"),
    "IAF, monotone": lambda: posteriors.IAF(SIZE, num_flows=1, hidden_units=(8,), bijector_fn="monotone"),
    "RecurrentIAF": lambda: posteriors.RecurrentIAF(SIZE, units=4, num_flows=1),
    "PlanarFlow": lambda: posteriors.PlanarFlow(SIZE),
    "RadialFlow": lambda: posteriors.RadialFlow(SIZE),
    "SylvesterFlow": lambda: posteriors.SylvesterFlow(SIZE),
    "NICE": lambda: posteriors.NICE(SIZE, hidden_units=(8,)),
}
# And `decode`, which is the decoder alone.
SIGNATURES = ("encode_mean", "encode_from_noise", "elbo_from_noise", "posterior_log_prob")
NEITHER = "-"


def row(name):
    """For each signature the runtimes that give the export's answers within 1e-4, as text."""
    keras.utils.set_random_seed(0)
    model = VAE(keras.layers.Dense(8, "elu"), POSTERIORS[name](), keras.layers.Dense(6))
    model.build((None, 6))
    properties.randomize(model)
    rng = np.random.default_rng(0)
    x, noise = rng.integers(0, 2, [5, 6]).astype(np.float32), rng.normal(size=[5, SIZE]).astype(np.float32)
    values = {"x": x, "noise": noise, "z": np.asarray(model.encode_mean(x))}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "saved_model")
        serving.export(model, path)
        loaded = tf.saved_model.load(str(path))
        return {signature: ", ".join(_runtimes(path, loaded, signature, values)) or NEITHER for signature in SIGNATURES}


def _runtimes(path, loaded, signature, values):
    function = loaded.signatures[signature]
    specs = function.structured_input_signature[1]
    inputs = {name: values[name] for name in specs}
    expected = {name: np.asarray(value) for name, value in function(**{k: tf.constant(v) for k, v in inputs.items()}).items()}
    for runtime, answers in (("LiteRT", _litert), ("ONNX", _onnx)):
        try:
            found = answers(path, signature, function, specs, inputs)
        except Exception as error:
            print(f"{signature}, {runtime}: {str(error).splitlines()[0][:200]}", file=sys.stderr)
            continue
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-4, err_msg=f"{runtime} {signature} {name}")
        yield runtime


def _litert(path, signature, function, specs, inputs):
    from ai_edge_litert.interpreter import Interpreter

    converter = tf.lite.TFLiteConverter.from_saved_model(str(path), signature_keys=[signature])
    return Interpreter(model_content=converter.convert()).get_signature_runner(signature)(**inputs)


def _onnx(path, signature, function, specs, inputs):
    import onnxruntime
    import tf2onnx

    names = list(specs)

    def call(*tensors):
        return function(**dict(zip(names, tensors)))

    input_signature = [tf.TensorSpec(specs[name].shape, specs[name].dtype, name) for name in names]
    # TensorFlow would otherwise name the inputs after the arguments.
    traced = tf.function(call, input_signature=input_signature, autograph=False)
    converted, _ = tf2onnx.convert.from_function(traced, input_signature=input_signature, opset=18)
    session = onnxruntime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])
    # In the order of their names.
    outputs = session.run(None, {each.name: inputs[each.name] for each in session.get_inputs()})
    return dict(zip(sorted(function.structured_outputs), outputs))


def rows_of_documentation():
    """The rows of the table in docs/serving.md, as `row` gives them, by name."""
    page = pathlib.Path(__file__).parents[1] / "docs" / "serving.md"
    lines = [line.strip("|").split("|") for line in page.read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    rows = [line for line in cells if len(line) == 1 + len(SIGNATURES) and line[0].startswith("`")]
    return {line[0].strip("`"): dict(zip(SIGNATURES, line[1:])) for line in rows}


def main():
    for name in sys.argv[1:] or POSTERIORS:
        print(f"| `{name}` | {' | '.join(row(name).values())} |", flush=True)


if __name__ == "__main__":
    main()
