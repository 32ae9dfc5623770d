"""Binary images for the examples: scikit-learn's digits, MNIST, or an .npz file."""

import pathlib
import zipfile
import zlib

import bounded
import numpy as np
import tensorflow as tf

SPLITS = ("x_train", "x_valid", "x_test")
# Of scikit-learn's digits: where validation and test begin.
DIGITS_SPLIT = [1297, 1547]


def load(source):
    """The splits x_train, x_valid, x_test, uint8 arrays of zeros and ones.

    Args:
        source: "digits" (scikit-learn's, embedded, 8x8), "mnist" (downloaded by Keras), or the path of an .npz file with
            arrays of those names.

    Raises:
        ValueError: in one line, if the data cannot be had or are not as described.
    """
    loader = {"digits": _digits, "mnist": _mnist}.get(source, lambda: _npz(source))
    return loader()


def load_labelled(source):
    """The splits of `load`, and their integer labels as a dict of train, valid, test.

    Args:
        source: "digits", or the path of an .npz file with arrays y_train, y_valid, y_test too.

    Raises:
        ValueError: in one line, as `load`, and if labels are missing.
    """
    if source == "digits":
        return _digits(), dict(zip(("train", "valid", "test"), np.split(_shuffled_digits().target, DIGITS_SPLIT)))
    splits = _npz(source)
    labels = _arrays(source, ["y_train", "y_valid", "y_test"])
    for (name, y), x in zip(labels.items(), splits.values()):
        if y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer):
            raise ValueError(
                f"--data={source}: {name} has shape {y.shape} and dtype {y.dtype}; expected one integer per image."
            )
    return splits, {name.removeprefix("y_"): y for name, y in labels.items()}


def batches(x, batch_size, seed, first_step=0):
    """Endless shuffled batches of full size; batch t is the same whatever `first_step` a run starts or resumes from."""
    num_examples = len(x)
    batch_size = min(batch_size, num_examples)
    steps_per_pass = num_examples // batch_size
    first_pass, skipped = divmod(first_step, steps_per_pass)

    def shuffled(index):
        order = tf.random.experimental.stateless_shuffle(tf.range(num_examples), seed=[seed, index])
        rows = tf.reshape(order[: steps_per_pass * batch_size], [steps_per_pass, batch_size])
        return tf.data.Dataset.from_tensor_slices(rows)

    passes = tf.data.Dataset.range(first_pass, np.iinfo(np.int32).max).map(lambda index: tf.cast(index, tf.int32))
    examples = tf.constant(x)
    return passes.flat_map(shuffled).skip(skipped).map(lambda rows: tf.gather(examples, rows)).prefetch(tf.data.AUTOTUNE)


def _shuffled_digits():
    """Scikit-learn's bunch of digits, shuffled, since neighbours come from the same writer."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    digits.images, digits.target = digits.images[order], digits.target[order]
    return digits


def _digits():
    # Grey levels 0..16.
    images = (_shuffled_digits().images >= 8).astype(np.uint8)
    return dict(zip(SPLITS, np.split(images, DIGITS_SPLIT)))


def _mnist():
    import keras

    try:
        (train, _), (test, _) = keras.datasets.mnist.load_data()
    except Exception as error:
        raise ValueError(
            f"MNIST could not be downloaded ({str(error).splitlines()[0]}): use --data=digits, or the path of an .npz file."
        ) from error
    # A static binarization: every grey level is a probability, drawn once.
    rng = np.random.default_rng(0)
    train, test = ((rng.random(images.shape) < images / 255.0).astype(np.uint8) for images in (train, test))
    return dict(zip(SPLITS, (train[:50000], train[50000:], test)))


def _npz(path):
    if not pathlib.Path(path).is_file():
        raise ValueError(f"--data={path}: expected digits, mnist, or the path of an .npz file with {', '.join(SPLITS)}.")
    splits = _arrays(path, SPLITS)
    for name, x in splits.items():
        if x.ndim < 2 or not len(x) or x.shape[1:] != splits["x_train"].shape[1:]:
            raise ValueError(f"--data={path}: {name} has shape {x.shape}; expected [N, ...] with the same ... in every split.")
        if not (np.issubdtype(x.dtype, np.number) or x.dtype == bool) or not ((x == 0) | (x == 1)).all():
            raise ValueError(f"--data={path}: {name} holds values other than 0 and 1; binarize the images first.")
    return {name: x.astype(np.uint8) for name, x in splits.items()}


def _arrays(path, names):
    """The named arrays of an .npz file."""
    try:
        return bounded.read_arrays(path, names)
    except (ValueError, OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"--data={path}: not a readable .npz file of plain arrays {', '.join(names)} ({reason}).") from error
