"""Exports convert to LiteRT and ONNX as docs/serving.md says, and answer there as the export does."""

import importlib.util

import pytest

from tests import conversions

has_runtimes = all(importlib.util.find_spec(name) for name in ("ai_edge_litert", "onnxruntime", "tf2onnx"))


def test_the_table_has_a_row_for_each_posterior():
    assert set(conversions.POSTERIORS) <= set(conversions.rows_of_documentation())


@pytest.mark.long
@pytest.mark.skipif(not has_runtimes, reason="needs pip install 'tfp_iaf[serving]'")
@pytest.mark.filterwarnings("ignore")  # The converters warn of their own dependencies.
@pytest.mark.parametrize("name", conversions.POSTERIORS)
def test_what_converts(name):
    assert conversions.row(name) == conversions.rows_of_documentation()[name]
