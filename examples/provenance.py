"""Where a result comes from: what every result file records beside its figures."""

import importlib.metadata
import os
import platform
import subprocess
import sys

PACKAGES = ("tfp_iaf", "tensorflow", "tensorflow-probability", "keras", "numpy")


def provenance():
    """Command, commit, versions and machine, as a dict for a JSON file."""
    return {
        "command": " ".join(["python", *_program(), *sys.argv[1:]]),
        "commit": _commit(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "system": platform.system(), **_gpu()},
    }


def _program():
    """What started this process: a file, or a module after -m."""
    spec = sys.modules["__main__"].__spec__
    return [os.path.relpath(sys.argv[0])] if spec is None else ["-m", spec.name]


def _commit():
    folder = os.path.dirname(os.path.abspath(__file__))
    git = ["git", "-C", folder]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+changes" if changed else commit


def version(package):
    """The version of an installed package; None for one that is not, as where a checkout runs by its path."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpu():
    """The name of the first GPU under "gpu", if there is one."""
    import tensorflow as tf  # Peers ask for versions where there is none.

    devices = tf.config.list_physical_devices("GPU")
    return {"gpu": tf.config.experimental.get_device_details(devices[0]).get("device_name")} if devices else {}


def _cpu():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
