"""Draws images from an exported VAE in a process that imports only TensorFlow, or measures how fast it answers.

python examples/serve_vae.py --saved_model=runs/demo/iaf/saved_model --out=samples.png
python examples/serve_vae.py --saved_model=runs/demo/iaf/saved_model --latency
"""

# ruff: noqa: E402

import argparse
import math
import statistics
import sys
import threading
import time

from command_line import import_tensorflow

PARSER = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
PARSER.add_argument("--saved_model", required=True, help="folder written by tfp_iaf.serving.export")
PARSER.add_argument("--out", default="samples.png", help="PNG to write")
PARSER.add_argument("--num_samples", type=int, default=64, help="images to draw")
PARSER.add_argument("--seed", type=int, default=0, help="equal seeds draw equal images")
PARSER.add_argument("--zoom", type=int, default=8, help="screen pixels per pixel")
PARSER.add_argument("--latency", action="store_true", help="measure latency and throughput, and draw nothing")
PARSER.add_argument("--seconds", type=float, default=1.0, help="how long to measure each case")

if __name__ == "__main__":
    ARGS = PARSER.parse_args()
    if ARGS.num_samples < 1 or ARGS.zoom < 1 or ARGS.seconds <= 0.0:
        PARSER.error("--num_samples and --zoom must be at least 1, and --seconds above 0")
    import_tensorflow()

import tensorflow as tf

BATCHES, THREADS = (1, 32, 1024), (1, 8)


def grid(images):
    """One uint8 image `[height, width, C]` of all images `[N, H, W, C]` in [0, 1], a pixel of space between them."""
    columns = math.ceil(math.sqrt(len(images)))
    missing = -len(images) % columns
    tiles = tf.pad(images, [[0, missing], [0, 0], [0, 0], [0, 0]], constant_values=1.0)
    tiles = tf.pad(tiles, [[0, 0], [0, 1], [0, 1], [0, 0]], constant_values=0.8)
    rows = tf.reshape(tiles, [-1, columns, *tiles.shape[1:]])
    canvas = tf.reshape(tf.transpose(rows, [0, 2, 1, 3, 4]), [rows.shape[0] * tiles.shape[1], -1, tiles.shape[-1]])
    return tf.cast(tf.round(255.0 * canvas), tf.uint8)


def measure(call, threads, seconds):
    """(median seconds per call, calls per second) of a function that so many threads call for so long."""
    call()
    durations, end = [], time.perf_counter() + seconds

    def work():
        while (start := time.perf_counter()) < end:
            call()
            durations.append(time.perf_counter() - start)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return statistics.median(durations), len(durations) / (time.perf_counter() - start)


def report_latency(model, seconds):
    """Prints a table of the signatures that an application calls once per request."""
    print("| signature | batch | threads | median ms | rows per second |\n|---|---|---|---|---|")
    for name in ("encode", "encode_mean", "decode", "log_prob"):
        if name not in model.signatures:
            continue
        function = model.signatures[name]
        specs = function.structured_input_signature[1]
        for batch in BATCHES:
            # A seed is no batch.
            shapes = {key: [batch, *spec.shape[1:]] if spec.shape[0] is None else spec.shape for key, spec in specs.items()}
            inputs = {key: tf.zeros(shapes[key], spec.dtype) for key, spec in specs.items()}
            for threads in THREADS:
                latency, rate = measure(lambda f=function, given=inputs: f(**given), threads, seconds)
                print(f"| {name} | {batch} | {threads} | {1e3 * latency:.2f} | {rate * batch:,.0f} |", flush=True)


def main(args):
    try:
        model = tf.saved_model.load(args.saved_model)
    except OSError as error:
        sys.exit(f"serve_vae: {args.saved_model} is not a SavedModel ({str(error).splitlines()[0]}).")
    if args.latency:
        report_latency(model, args.seconds)
        return
    if "sample" not in model.signatures:
        sys.exit(f"serve_vae: {args.saved_model} has no signature `sample`: it was not written by tfp_iaf.serving.export.")
    images = model.sample(tf.constant(args.num_samples), tf.constant([args.seed, 0]))["mean"]
    if images.shape.rank == 3:
        images = images[..., tf.newaxis]
    if images.shape.rank != 4 or images.shape[-1] not in (1, 3):
        sys.exit(f"serve_vae: the model's data are not grey or colour images but of shape {tuple(images.shape[1:])}.")
    # Means of levels 0 to 255, or probabilities of ink on white.
    shades = images / 255.0 if tf.reduce_max(images) > 1.0 else 1.0 - images
    picture = tf.repeat(tf.repeat(grid(shades), args.zoom, axis=0), args.zoom, axis=1)
    tf.io.write_file(args.out, tf.io.encode_png(picture))
    others = sorted({"keras", "tensorflow_probability", "tfp_iaf"} & {name.split(".")[0] for name in sys.modules})
    also = f"; also loaded by TensorFlow: {', '.join(others)}" if others else ""
    print(f"Drew {args.num_samples} images with TensorFlow {tf.__version__} alone{also} -> {args.out}")


if __name__ == "__main__":
    main(ARGS)
