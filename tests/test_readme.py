"""The README is short, and says first what a newcomer needs. (`test_docs.py` runs its blocks.)"""

import re

import tfp_iaf
from tests.imports import ROOT

README = (ROOT / "README.md").read_text()


def test_it_is_short():
    assert len(README.splitlines()) <= 120


def test_it_shows_installation_a_ten_line_example_and_both_commands():
    assert README.index("## Install") < README.index("```python") < README.index("make demo") < README.index("make test")
    example = re.search(r"```python\n(.*?)```", README, flags=re.S)[1]
    assert sum(line.strip(" )") != "" for line in example.splitlines()) <= 11


def test_it_names_every_posterior_and_prior():
    for name in set(tfp_iaf.posteriors.__all__) - {"Posterior"}:
        assert f"`{name}(" in README, name
    for name in set(tfp_iaf.priors.__all__) - {"Prior", "get", "serialize"}:
        assert f"`priors.{name}(" in README, name


def test_the_versions_are_those_that_the_metadata_ask_for():
    metadata = (ROOT / "pyproject.toml").read_text()
    for page in (README, (ROOT / "docs" / "installation.md").read_text()):
        for title, name in (("Keras", "keras"), ("TensorFlow", "tensorflow")):
            lowest, above = re.search(rf'"{name}>=([\d.]+),<([\d.]+)"', metadata).groups()
            major, minor = above.split(".")
            assert f"{title} {lowest}-{major}.{int(minor) - 1}" in page
