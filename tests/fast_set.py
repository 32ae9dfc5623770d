"""A pytest plugin, `-p tests.fast_set`: leaves out the files whose tests take long, so that the others run in two minutes."""

__all__ = ["SLOW", "pytest_collection_modifyitems"]

# Files whose tests take more than some ten seconds of one core; beginnings of their names.
SLOW = (
    "tests/_compat/test_custom_gradient.py",
    "tests/bijectors/inverses/test_cycle.py",
    "tests/bijectors/inverses/test_inverses.py",
    "tests/bijectors/inverses/test_recurrent.py",
    "tests/bijectors/test_base.py",
    "tests/bijectors/test_contract.py",
    "tests/bijectors/test_flow_spec.py",
    "tests/bijectors/test_maps.py",
    "tests/bijectors/test_masked_autoregressive_flow.py",
    "tests/bijectors/test_monotone.py",
    "tests/bijectors/test_parametric_flows.py",
    "tests/examples/",
    "tests/inputs/",
    "tests/layers/test_masked_dense.py",
    "tests/layers/test_mnist_resnet.py",
    "tests/layers/test_weight_normalization.py",
    "tests/likelihoods/test_discretized_logistic.py",
    "tests/models/hierarchical/",
    "tests/models/test_conditional_density.py",
    "tests/models/test_data.py",
    "tests/models/test_linear_gaussian.py",
    "tests/models/test_vae.py",
    "tests/models/test_vae_objectives.py",
    "tests/networks/test_autoregressive.py",
    "tests/networks/test_conv_autoregressive.py",
    "tests/networks/test_recurrent_autoregressive.py",
    "tests/posteriors/test_base.py",
    "tests/posteriors/test_contract.py",
    "tests/posteriors/test_conv_iaf.py",
    "tests/posteriors/test_gaussian.py",
    "tests/posteriors/test_parametric_flows.py",
    "tests/posteriors/test_recurrent_iaf.py",
    "tests/posteriors/test_score.py",
    "tests/priors/test_autoregressive_flow.py",
    "tests/priors/test_contract.py",
    "tests/priors/test_vamp_prior.py",
    "tests/test_benchmarks.py",
    "tests/test_docs.py::test_blocks_run",
    "tests/test_eager.py",
    "tests/test_evaluation.py",
    "tests/test_hot_path.py",
    "tests/test_serving.py",
    "tests/test_study.py::test_a_killed_run",
    "tests/vi/",
)


def pytest_collection_modifyitems(config, items):
    slow = [item for item in items if item.nodeid.startswith(SLOW)]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.nodeid.startswith(SLOW)]
