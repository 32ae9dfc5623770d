"""Few files run in the calls that users make most, and CONTRIBUTING.md names them in order."""

import pytest

from tests import hot_path
from tests.imports import ROOT

pytestmark = pytest.mark.compiled
MOST_FILES = {"posterior": 9, "training_step": 16}
MOST_CHANGES = 60


@pytest.fixture(scope="module")
def files():
    return {name: hot_path.files_of_calls(make()) for name, make in hot_path.CALLS.items()}


@pytest.mark.parametrize("name", hot_path.CALLS)
def test_few_files_run(name, files):
    assert 0 < len(hot_path.distinct(files[name])) <= MOST_FILES[name], hot_path.distinct(files[name])


def test_a_training_step_stays_in_a_file(files):
    assert hot_path.changes_of_file(files["training_step"]) <= MOST_CHANGES


def test_the_tour_of_the_house_names_the_files_in_order():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert hot_path.with_tours(text) == text, "the tour is stale: run `make tour`"


def test_the_tracer_sees_the_files_of_the_package_alone():
    from tfp_iaf import masks

    def call():
        masks.input_degrees(3, "right-to-left")
        sorted([2, 1], key=lambda value: value)

    assert set(hot_path.files_of_calls(call)) <= {"masks.py", "_arguments.py"}
    assert hot_path.files_of_calls(call)[0] == "masks.py"
    assert hot_path.changes_of_file(["a.py", "b.py", "b.py", "a.py"]) == 2
    assert hot_path.distinct(["a.py", "b.py", "a.py"]) == ["a.py", "b.py"]
