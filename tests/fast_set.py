"""A pytest plugin, `-p tests.fast_set`: leaves out the tests that take long, so that the others run in under two minutes."""

__all__ = ["SLOW", "pytest_collection_modifyitems"]

# Beginnings of the names of tests, files or folders, with the longest first in `pytest --durations=0`.
SLOW = (
    "tests/bijectors/test_contract.py",
    "tests/examples/",
    "tests/models/hierarchical/",
    "tests/models/test_linear_gaussian.py",
    "tests/models/test_tfp_route.py",
    "tests/posteriors/test_conv_iaf.py",
    "tests/posteriors/test_parametric_flows.py",
    "tests/posteriors/test_recurrent_iaf.py",
    "tests/priors/test_autoregressive_flow.py::test_flow_prior_and_flow_posterior",
    "tests/priors/test_vamp_prior.py::test_it_trains",
    "tests/test_benchmarks.py",
    "tests/test_docs.py::test_blocks_run",
    "tests/test_serving.py",
    "tests/test_study.py::test_a_killed_run",
    "tests/vi/test_fitting.py",
    "tests/vi/test_recipe.py",
)


def pytest_collection_modifyitems(config, items):
    slow = [item for item in items if item.nodeid.startswith(SLOW)]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.nodeid.startswith(SLOW)]
