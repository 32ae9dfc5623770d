"""A file or folder that is written beside its target, and takes its place when it is complete."""

import contextlib
import ctypes
import errno
import os
import pathlib
import re
import shutil
import socket
import tempfile

__all__ = ["written_beside"]

# Arguments of renameat2(2): relative paths begin at the working directory; both paths change places.
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2

# The name, inside the staging folder, of what was at the path before.
_OLD = ".old"


# For names and the like.
_OVERHEAD_BYTES = 2**20


@contextlib.contextmanager
def written_beside(path, num_bytes=0):
    """Yields a path of the same name at which to write; at the end of the block, unless by an error, that replaces `path`.

    Whoever reads `path` meanwhile finds the whole old file or folder or the whole new one, and so does whoever comes after a
    kill at any moment. (Where the file system cannot exchange two folders, there is a moment between two renames.) What a
    killed process left behind, `.NAME-writing-*`, goes with the next call.

    Args:
        path: a `pathlib.Path`.
        num_bytes: of the values that will be written. HDF5 ends the process on a full disk: the room is looked at before.

    Raises:
        OSError: in one line, if the disk has no room for them.

    >>> with tempfile.TemporaryDirectory() as parent:
    ...     for content in ("old", "new"):
    ...         with written_beside(pathlib.Path(parent, "model")) as folder:
    ...             folder.mkdir()
    ...             _ = (folder / "content").write_text(content)
    ...     pathlib.Path(parent, "model", "content").read_text(), os.listdir(parent)
    ('new', ['model'])
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers_of_ended_processes(path)
    _check_room(path, num_bytes)
    prefix = f".{path.name}-writing-{_writer(os.getpid())}-"
    staging = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
    try:
        complete = staging / path.name
        yield complete
        if path.exists() and (path.is_dir() or complete.is_dir()):
            _exchange(complete, path)
        else:
            os.replace(complete, path)
    finally:
        if not _holds_the_only_copy(staging, path):
            shutil.rmtree(staging, ignore_errors=True)


def _check_room(path, num_bytes):
    needed, free = 2 * num_bytes + _OVERHEAD_BYTES, shutil.disk_usage(path.parent).free
    if free < needed:
        raise OSError(
            f"{path.parent} has {free / 2**20:.1f} MiB left on its disk, and {path.name} takes up to {needed / 2**20:.1f}: "
            "make room there, or choose another place."
        )


def _exchange(new, path):
    """Lets two paths change places, in one moment where the system can."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None:
        if renameat2(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(path), _RENAME_EXCHANGE) == 0:
            return
        error = ctypes.get_errno()
        if error not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV):
            raise OSError(error, os.strerror(error), str(path))
    old = new.with_name(_OLD)
    os.replace(path, old)
    try:
        os.replace(new, path)
    except OSError:
        os.replace(old, path)
        raise


def _writer(process):
    """What tells the folders of this machine's process from those of others, which may share the file system."""
    return f"{re.sub('[^A-Za-z0-9.]', '_', socket.gethostname())}-{process}"


def _remove_leftovers_of_ended_processes(path):
    pattern = re.compile(rf"\.{re.escape(path.name)}-writing-{re.escape(_writer(''))}(\d+)-\w+")
    for other in path.parent.iterdir():
        match = pattern.fullmatch(other.name)
        if match and not _is_alive(int(match[1])) and not _holds_the_only_copy(other, path):
            shutil.rmtree(other, ignore_errors=True)


def _holds_the_only_copy(staging, path):
    """Whether what was at the path is in this folder, and nothing at the path."""
    return (staging / _OLD).exists() and not path.exists()


def _is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
