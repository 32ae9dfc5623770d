"""The tables and figures of the studies, from files made here."""

import json

import pytest

from benchmarks import report, study_tables


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(study_tables, "RESULTS", tmp_path)
    (tmp_path / "small-mlp-published").mkdir()
    for variant, seed, log_p in (("iaf", 0, -95.0), ("iaf", 1, -96.0), ("diagonal", 1, -97.0), ("diagonal", 0, -97.5)):
        run = {
            "variant": variant,
            "seed": seed,
            "parameters": 1_060_000,
            "steps": 20_000,
            "config": {"importance_samples": 128},
            "validation_elbo": {"best_step": 10_000},
            "test": {"elbo": {"mean": log_p - 6.0}, "log_likelihood": {"mean": log_p, "effective_sample_size": 3.25}},
            "history": [{"step": 10_000, "val_elbo": -108.0 - seed}, {"step": 20_000, "val_elbo": -109.0}],
        }
        (tmp_path / "small-mlp-published" / f"{variant}-seed{seed}.json").write_text(json.dumps(run))
    return tmp_path


def test_spread_over_seeds_and_paired_differences(results):
    lines = study_tables.small_mlp_published().splitlines()
    diagonal, iaf = lines[2:4]
    assert diagonal == ("| diagonal | 2 | 1.06 M | 20,000 | 10,000 | -103.25 ± 0.35 | -97.25 ± 0.35 | 3.2 of 128 |  |  |")
    # Differences of 2.5 and 1.0: mean 1.75, standard error 0.75.
    assert iaf.endswith("| -95.50 ± 0.71 | 3.2 of 128 | +1.75 ± 0.75 (2) | +1.75 ± 0.75 (2) |")
    assert lines[-1] == "| IAF | -101.50 ± 0.71 | -101.64 | -95.50 ± 0.71 | -95.33 |"
    assert "| diagonal | 10,000 | -108.50 ± 0.71 | -108.49 |" in study_tables.small_mlp_published_validation()
    assert study_tables.deep_mnist() == study_tables.NO_RUNS


def test_differences_are_to_the_diagonal_of_the_same_set_up():
    runs = {"diagonal": {}, "full_covariance": {}, "diagonal-60k": {}, "iaf-60k": {}, "iaf-ema": {}}
    references = {variant: study_tables.reference_of(variant, runs) for variant in runs}
    assert references == {
        "diagonal": "diagonal",
        "full_covariance": "diagonal",
        "diagonal-60k": "diagonal-60k",
        "iaf-60k": "diagonal-60k",
        "iaf-ema": "diagonal",
    }


def test_curves_are_drawn_alike_each_time_and_linked(results):
    assert study_tables.small_mlp_published_curves() == study_tables.NO_RUNS
    path = results / "small-mlp-published" / "curves.png"
    pictures = set()
    for _ in range(2):
        report.draw("small-mlp-published", study_tables.runs_of("small-mlp-published"), path)
        pictures.add(path.read_bytes())
    assert len(pictures) == 1
    assert study_tables.small_mlp_published_curves().startswith("![")
