"""The fits of flows to four energies."""

import json
import pathlib
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def test_the_energies_integrate_to_the_known_numbers(monkeypatch):
    """On [-4, 4]^2, and with the wall to no less."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import energy_targets

    for name, log_z in {"U1": 1.8775, "U2": 2.0821, "U3": 2.6417, "U4": 2.6846}.items():
        energy, target = energy_targets.ENERGIES[name], energy_targets.log_target(name)
        within = energy_targets.log_normalizer(lambda z, energy=energy: -energy(z), half_width=4.0, num_points=401)
        assert within == pytest.approx(log_z, abs=1e-3)
        assert within <= energy_targets.log_normalizer(target, num_points=651) < within + 0.2


@pytest.mark.long
def test_a_run_is_continued_with_the_same_settings_alone(tmp_path):
    script = f"""
import sys
sys.path.insert(0, {str(EXAMPLES)!r})
import energies

COMMAND = ["energies", "--smoke", "--flows=planar", "--workdir={tmp_path}/work", "--out={tmp_path}/e.png"]

def run(seed):
    energies.FLAGS.unparse_flags()
    energies.FLAGS([*COMMAND, f"--seed={{seed}}"])
    energies.main(None)

run(0)
print("again")
run(0)
run(1)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "is of a run with other settings" in result.stderr.splitlines()[-1]
    first, second = result.stdout.split("again")
    assert first.count(" nats\n") == second.count(" nats\n") + 1
    assert "| planar | 2 |" in second
    figures = json.loads((tmp_path / "e.json").read_text())
    assert figures["fits"][0]["kl"] > 0.0 and "U1" in figures["log_z"]
    assert (tmp_path / "e.png").exists()
