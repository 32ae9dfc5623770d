"""Exports convert to LiteRT and ONNX as docs/serving.md says, and answer there as the export does."""

import importlib.util

import pytest

from tests import conversions

has_runtimes = all(importlib.util.find_spec(name) for name in ("ai_edge_litert", "onnxruntime", "tf2onnx"))


def test_the_rows_of_the_table_are_known_posteriors():
    rows = conversions.rows_of_documentation()
    assert {"DiagonalGaussian", "FullCovariance", "IAF, affine"} <= set(rows) <= set(conversions.POSTERIORS)


@pytest.mark.long
@pytest.mark.skipif(not has_runtimes, reason="needs pip install 'tfp_iaf[serving]'")
@pytest.mark.filterwarnings("ignore")  # The converters warn of their own dependencies.
# Sylvester flows, none of whose signatures converts: tf2onnx works on their inverse for more than ten minutes.
@pytest.mark.parametrize("name", sorted(conversions.rows_of_documentation().keys() - {"SylvesterFlow"}))
def test_what_converts(name):
    assert conversions.row(name) == conversions.rows_of_documentation()[name]
