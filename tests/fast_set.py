"""A pytest plugin, `-p tests.fast_set`: leaves out the tests that take long, so that the others run in under two minutes."""

__all__ = ["SLOW", "pytest_collection_modifyitems"]

# Beginnings of the names of tests, files or folders, with the longest first in `pytest --durations=0`.
SLOW = (
    "tests/examples/",
    "tests/test_docs.py::test_blocks_run",
)


def pytest_collection_modifyitems(config, items):
    slow = [item for item in items if item.nodeid.startswith(SLOW)]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.nodeid.startswith(SLOW)]
