"""Images for the examples: a folder or zip of JPEG and PNG files, CIFAR-10, or the binary images of `datasets`."""

import contextlib
import dataclasses
import pathlib
import sys
import zipfile
import zlib

import datasets
import keras
import numpy as np
import tensorflow as tf

SUFFIXES = (".jpg", ".jpeg", ".png")
JPEG_NOTE = "decoded from JPEG: comparable among runs on the same files, not with published CIFAR-10 figures"


@dataclasses.dataclass(frozen=True)
class Images:
    """The splits x_train, x_valid, x_test, uint8 `[N, H, W, C]`; the likelihood for their values; what to know of them."""

    splits: dict
    likelihood: str
    note: str | None = None

    @property
    def shape(self):
        return self.splits["x_train"].shape[1:]


def load(source, seed, size=None):
    """The images of a source.

    Args:
        source: "digits" (scikit-learn's, embedded, 8x8 grey levels), "cifar10" (downloaded by Keras), "mnist" or an .npz file
            (binary, see `datasets.load`), or a folder or .zip file of .jpg, .jpeg and .png images. Folders train and test at
            its top, if there are both, are the split; a tenth of train is for validation, the same for every seed. Otherwise a
            tenth each is for validation and test.
        seed: of the split, where the source has none.
        size: each image of a folder or .zip file is cut to the square in its middle, and scaled to this height and width;
            None where all have one size.

    Raises:
        ValueError: in one line, if the data cannot be had or are not as described.
    """
    path = pathlib.Path(source)
    if size is not None and not path.is_dir() and path.suffix.lower() != ".zip":
        raise ValueError(f"--size scales images of folders and .zip files, and --data={source} is neither: leave it out.")
    if source == "digits":
        return _digits()
    if source == "cifar10":
        return _cifar10()
    if path.is_dir():
        return _files(source, seed, size, _folder)
    if path.is_file() and path.suffix.lower() == ".zip":
        return _files(source, seed, size, _zip)
    if source == "mnist" or path.is_file():
        return _binary(source)
    raise ValueError(
        f"--data={source}: expected digits, mnist, cifar10, a folder or .zip file of images, or an .npz file of binary images."
    )


def batches(x, batch_size, seed, first_step=0, flip=False):
    """As `datasets.batches`; with `flip` every image is mirrored with probability 1/2, the same in step t of every run."""
    unflipped = datasets.batches(x, batch_size, seed, first_step)
    if not flip:
        return unflipped

    def flip_some(step, images):
        mirrored = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], [seed, step]) < 0.5
        return tf.where(mirrored, tf.reverse(images, axis=[2]), images)

    return unflipped.enumerate(first_step).map(flip_some).prefetch(tf.data.AUTOTUNE)


def _digits():
    from sklearn.datasets import load_digits

    levels = np.round(load_digits().images * (255.0 / 16.0)).astype(np.uint8)[..., np.newaxis]
    return Images(_split("digits", levels, np.random.default_rng(0)), "discretized_logistic")


def _cifar10():
    try:
        (train, _), (test, _) = keras.datasets.cifar10.load_data()
    except Exception as error:
        raise ValueError(
            f"CIFAR-10 could not be downloaded ({str(error).splitlines()[0]}): use --data=digits, or the path of a folder or "
            ".zip file of images."
        ) from error
    return Images({"x_train": train[:45000], "x_valid": train[45000:], "x_test": test}, "discretized_logistic")


def _binary(source):
    splits = datasets.load(source)
    if splits["x_train"].ndim != 3:
        raise ValueError(f"--data={source}: expected images [N, H, W], got x_train of shape {splits['x_train'].shape}.")
    return Images({name: x[..., np.newaxis] for name, x in splits.items()}, "bernoulli")


def _files(source, seed, size, opener):
    with opener(source) as (names, read):
        # In a zip, all may lie below one folder.
        names = sorted(name for name in names if _is_image(name))
        parts = [pathlib.PurePosixPath(name).parts for name in names]
        while parts and len({part[0] for part in parts}) == 1 and len(parts[0]) > 1:
            parts = [part[1:] for part in parts]
        tops = {part[0] for part in parts if len(part) > 1}
        has_split = {"train", "test"} <= tops
        if has_split:
            strays = [name for name, part in zip(names, parts) if part[0] not in ("train", "test")]
            if strays:
                raise ValueError(
                    f"--data={source}: beside train/ and test/ there is {strays[0]}; remove it, or put it below one."
                )
        images = _decoded(source, names, read, size)
    if has_split:
        is_train = np.array([part[0] == "train" for part in parts])
        # Files come sorted, often by class.
        train, test = _shuffled(images[is_train], np.random.default_rng(0)), images[~is_train]
        if len(test) < 2:
            raise ValueError(f"--data={source}: test/ holds a single image, which gives no standard error.")
        num_valid = _tenth(source, len(train))
        splits = {"x_train": train[:-num_valid], "x_valid": train[-num_valid:], "x_test": test}
    else:
        splits = _split(source, images, np.random.default_rng(seed))
    is_jpeg = any(not name.lower().endswith(".png") for name in names)
    return Images(splits, "discretized_logistic", JPEG_NOTE if is_jpeg else None)


def _is_image(name):
    path = pathlib.PurePosixPath(name)
    # macOS adds hidden twins of every file to the zips it makes.
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden


@contextlib.contextmanager
def _folder(source):
    """(names of the files, a function that reads one)."""
    root = pathlib.Path(source)
    yield (
        [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()],
        lambda name: (root / name).read_bytes(),
    )


@contextlib.contextmanager
def _zip(source):
    """As `_folder`; members are read in memory, nothing is extracted."""
    try:
        file = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"--data={source}: not a whole .zip file ({error}).") from error
    with file:
        yield file.namelist(), file.read


def _decoded(source, names, read, size):
    """All images, uint8 `[N, H, W, C]`."""
    if not names:
        raise ValueError(f"--data={source}: holds no {', '.join(SUFFIXES)} files.")
    print(f"Decoding {len(names):,} images of {source}.", flush=True)
    progress = keras.utils.Progbar(len(names), unit_name="image") if sys.stdout.isatty() else None
    images = None
    for i, name in enumerate(names):
        try:
            image = tf.io.decode_image(read(name), expand_animations=False).numpy()
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(f"--data={source}: {name} is no whole JPEG or PNG image.") from error
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
            raise ValueError(f"--data={source}: {name} cannot be read ({str(error).splitlines()[0]}).") from error
        if size is not None:
            image = _scaled(image, size)
        if images is None:
            if image.shape[-1] not in (1, 3):
                raise ValueError(f"--data={source}: {name} has {image.shape[-1]} channels; expected grey levels or RGB.")
            images = np.empty([len(names), *image.shape], np.uint8)
        if image.shape != images.shape[1:]:
            sizes = (" x ".join(map(str, shape)) for shape in (image.shape, images.shape[1:]))
            raise ValueError("--data={}: {} is {}, the images before it {}: pass --size.".format(source, name, *sizes))
        images[i] = image
        if progress is not None and (i + 1) % 100 == 0:
            progress.update(i + 1)
    return images


def _scaled(image, size):
    """The square in the middle of an image, scaled to `size` x `size`."""
    height, width, _ = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    return tf.cast(tf.round(tf.image.resize(square, [size, size], antialias=True)), tf.uint8).numpy()


def _tenth(source, count):
    """How many images to set aside; a standard error takes two."""
    if count < 6:
        raise ValueError(f"--data={source}: {count} images are too few to set some aside.")
    return max(2, count // 10)


def _split(source, images, rng):
    tenth = _tenth(source, len(images))
    return dict(zip(datasets.SPLITS, np.split(_shuffled(images, rng), [-2 * tenth, -tenth])))


def _shuffled(images, rng):
    return images[rng.permutation(len(images))]
