"""The posterior of a joint distribution four ways, as users run it: in a process of its own."""

import json
import pathlib
import subprocess
import sys

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def test_the_tables_of_a_run(tmp_path):
    """The vectors and the names of the unknowns agree, and the table has the figures of the right ones."""
    script = f"""
import sys
sys.path.insert(0, {str(EXAMPLES)!r})
import numpy as np
import fit_joint_distribution as example

for target in example.TARGET_NAMES:
    joint, names, shown = example.load(target)
    vectors = example.as_vectors((joint if target == "funnel" else joint.distribution).sample(5, seed=[0, 1]))
    assert vectors.shape[0] == 5 and vectors.shape[1] >= len(names) == 10, (target, vectors.shape)
figures = {{"mean": [1.0, 2.0, 3.0], "sd": [4.0, 5.0, 6.0], "effective_sample_size_per_draw": 0.5, "seconds": 7.0}}
print(example.table({{"NUTS": figures, "IAF": {{**figures, "pareto_k": 0.25}}}}, ["a", "b", "c"], (2, 0)))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.splitlines() == [
        "|  | a: mean / sd | c: mean / sd | effective sample size per draw | Pareto k | processor seconds |",
        "|---|---|---|---|---|---|",
        "| NUTS | 1.00 / 4.00 | 3.00 / 6.00 | 50.0% |  | 7.0 |",
        "| IAF | 1.00 / 4.00 | 3.00 / 6.00 | 50.0% | 0.25 | 7.0 |",
    ]


def test_the_flow_of_the_result_file_is_the_posterior():
    """Beside long chains of NUTS (mu, log tau, theta 1), and beside the chains that mix, those through the flow."""
    figures = json.loads((EXAMPLES.parent / "benchmarks" / "results" / "eight_schools.json").read_text())
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
