"""The figures of the joint distribution's example; `make smoke` runs it."""

import json
import pathlib

RESULTS = pathlib.Path(__file__).parents[2] / "benchmarks" / "results"


def test_the_flow_of_the_result_file_is_the_posterior():
    """Beside long chains of NUTS (mu, log tau, theta 1), and beside the chains that mix, those through the flow."""
    figures = json.loads((RESULTS / "eight_schools.json").read_text())
    rows = figures["rows"]
    fits = [row for title, row in rows.items() if title.startswith("IAF")]
    assert len(fits) == 3
    long_chains = {"mean": [6.52, 0.74, 7.62], "sd": [3.95, 0.84, 5.28]}
    for row in fits:
        assert row["pareto_k"] < 0.7
        for reference in (long_chains, rows["NUTS through the IAF"]):
            for mean, sd, true_mean, true_sd in zip(row["mean"], row["sd"], reference["mean"], reference["sd"]):
                assert abs(mean - true_mean) <= 0.15 * true_sd
                assert 0.88 <= sd / true_sd <= 1.12
    assert sorted(row["effective_sample_size_per_draw"] for row in fits)[1] >= 0.7
    assert figures["neutra_ratio"] >= 2.0
