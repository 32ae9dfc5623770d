"""The versions that a report of a fault should name."""

from __future__ import annotations

import importlib.metadata
import platform

import tensorflow as tf

__all__ = ["show_versions"]

_PACKAGES = ("tfp_iaf", "tensorflow", "tensorflow-probability", "keras", "tf-keras", "numpy", "absl-py")


def show_versions() -> None:
    """Prints the versions of this package, of Python, and of the packages below, and the devices.

    >>> show_versions()  # doctest: +ELLIPSIS
    Python ...
    """
    print(f"Python {platform.python_version()}, {platform.platform()}")
    for name in _PACKAGES:
        try:
            print(name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            print(f"{name}: not installed under this name")
    print("devices:", ", ".join(device.name for device in tf.config.list_physical_devices()))
