"""Reading of files that strangers made: what a file declares to hold is checked before it is read."""

import contextlib
import math
import struct
import zipfile

import numpy as np
import tensorflow as tf

MEBIBYTE = 2**20
# Of all arrays of an .npz file; of one image file; of the numbers in one image; of all images in memory.
LARGEST_ARRAYS = 1024 * MEBIBYTE
LARGEST_FILE = 64 * MEBIBYTE
LARGEST_IMAGE = 64 * MEBIBYTE
LARGEST_IMAGES = 4096 * MEBIBYTE

PNG = b"\x89PNG\r\n\x1a\n"
CHANNELS_OF_PNG = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}


def read_arrays(path, names):
    """The named arrays of an .npz file, as a dict.

    Raises:
        ValueError: for missing arrays, Python objects, and arrays of other or larger sizes than the file may hold.
        OSError, zipfile.BadZipFile, zlib.error, ...: for a file that is no whole .npz file.
    """
    with zipfile.ZipFile(path) as file:
        missing = [name for name in names if f"{name}.npy" not in file.namelist()]
        if missing:
            raise ValueError(f"lacks {', '.join(missing)}")
        members = [file.getinfo(f"{name}.npy") for name in names]
        check_size("the arrays", sum(member.file_size for member in members), LARGEST_ARRAYS)
        for member in members:
            with file.open(member) as stream:
                _check_header(member, stream)
        return {name: _array(file, member) for name, member in zip(names, members)}


def _check_header(member, stream):
    """Raises a ValueError unless an .npy file has the size that its header says."""
    version = np.lib.format.read_magic(stream)
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in headers:
        raise ValueError(f"{member.filename} has format {version}")
    shape, _, dtype = headers[version](stream)
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds Python objects")
    claimed, held = math.prod(shape) * dtype.itemsize, member.file_size - stream.tell()
    if claimed != held:
        raise ValueError(f"{member.filename} claims {claimed:,} bytes, and has {held:,}")


def _array(file, member):
    with file.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def check_size(what, size, largest):
    """Raises a ValueError if something takes more bytes than allowed."""
    if size > largest:
        raise ValueError(f"{what} would take {size / MEBIBYTE:,.0f} MiB, more than {largest / MEBIBYTE:,.0f}")


def decode_image(content):
    """The image of a JPEG or PNG file, uint8 `[H, W, C]`.

    Raises:
        ValueError: for something else, and for an image that declares to be larger than `LARGEST_IMAGE`.
    """
    try:
        check_size("the image", math.prod(_declared_shape(content)), LARGEST_IMAGE)
        return tf.io.decode_image(content, expand_animations=False).numpy()
    except (tf.errors.InvalidArgumentError, struct.error) as error:
        raise ValueError("no whole JPEG or PNG image") from error


def _declared_shape(content):
    if content.startswith(PNG):
        width, height, _, kind = struct.unpack(">IIBB", content[16:26])
        return height, width, CHANNELS_OF_PNG.get(kind, 4)
    return tf.io.extract_jpeg_shape(content).numpy()


@contextlib.contextmanager
def opened_zip(path):
    """(names of the members, a function that reads one) of a .zip file; nothing is extracted."""
    with zipfile.ZipFile(path) as file:

        def read(name):
            check_size("the file", file.getinfo(name).file_size, LARGEST_FILE)
            return file.read(name)

        yield file.namelist(), read


@contextlib.contextmanager
def opened_folder(root):
    """As `opened_zip`, of the files below a folder."""

    def read(name):
        check_size("the file", (root / name).stat().st_size, LARGEST_FILE)
        return (root / name).read_bytes()

    yield [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()], read
