"""Every Python block of the README and of docs/ runs as it is written, page by page."""

import re

import pytest

from benchmarks import tables
from tests.imports import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", flags=re.S | re.M)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([\w-]+))?\)")
# Pages have no other languages than these. Code cells are those of tutorials, which run when the site is built.
LANGUAGES = {"python", "none", "", "{code-cell}", "{toctree}", "{eval-rst}"}


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def anchors(page):
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def with_blocks():
    """The pages with Python blocks; `make docs` runs all of them, `make test` those of the README."""
    for page in PAGES:
        if BLOCK.search(page.read_text()):
            yield pytest.param(page, marks=[] if page.name == "README.md" else pytest.mark.long, id=name_of(page))


@pytest.mark.compiled
@pytest.mark.parametrize("page", [*with_blocks()])
def test_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page.stem}
    text = page.read_text()
    for match in BLOCK.finditer(text):
        # Line numbers of the page in tracebacks.
        code = "\n" * text[: match.start(1)].count("\n") + match[1]
        exec(compile(code, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_fences_are_of_known_languages(page):
    fences = re.findall(r"^```([\w{}-]*)$", page.read_text(), flags=re.M)
    assert len(fences) % 2 == 0
    assert set(fences) <= LANGUAGES


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=name_of)
def test_links_lead_somewhere(page):
    for target, anchor in LINK.findall(page.read_text()):
        if target.startswith("http"):
            continue
        other = (page.parent / target).resolve() if target else page
        assert other.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(other), f"{target} has no heading {anchor}"


def test_tables_are_those_of_the_result_files():
    for page in tables.PAGES:
        assert tables.with_tables(page.read_text()) == page.read_text(), "run `python -m benchmarks.tables`"


def test_every_table_is_on_a_page():
    assert {name for page in tables.PAGES for name in tables.names_of(page.read_text())} == set(tables.TABLES)


def test_the_glossary_has_few_entries_of_one_sentence():
    rows = (ROOT / "docs" / "glossary.md").read_text().split("|---|---|\n")[1].splitlines()
    assert 0 < len(rows) <= 20
    assert all(row.endswith(". |") and row.count(". ") == 1 for row in rows)
