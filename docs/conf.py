"""The documentation site: `make docs` writes it to build/docs."""

import os
import pathlib
import re
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

project = "tfp_iaf"
copyright = "the authors of tfp_iaf"
release = re.search(r'__version__ = "(.+?)"', (ROOT / "tfp_iaf" / "__init__.py").read_text()).group(1)

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["build"]
html_theme = "furo"
html_title = "tfp_iaf"
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# Tutorials run when the site is built, and again only when they change.
nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "build" / "docs_cache")
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_merge_streams = True
os.environ["PYTHONPATH"] = str(ROOT)

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_inherit_docstrings = False
napoleon_google_docstring = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Source", "notes_style")]
nitpicky = False

# Methods that Keras or TFP ask for, and that no user calls.
MACHINERY = {
    "build",
    "call",
    "compute_output_shape",
    "compute_output_spec",
    "from_config",
    "get_config",
    "parameter_properties",
    "tf_variables",
    "read_from",
}


def restructured(app, what, name, obj, options, lines):
    """Docstrings are Markdown: their fences, tables and code in backticks as reStructuredText."""
    text = "\n".join(lines)
    text = re.sub(r"^( *)```(\w+)\n(.*?)^\1```$", _literal_block, text, flags=re.S | re.M)
    text = re.sub(r"^( *)\|.*\|\n\1\|[-|]+\|\n(?:\1\|.*\|\n?)+", _list_table, text, flags=re.M)
    text = re.sub(r"(?<!`)`([^`\n]+)`(?!`)(?!_)", r"``\1``", text)
    lines[:] = text.split("\n")


def _literal_block(match):
    margin, content = match[1], match[3]
    return f"{margin}.. code-block:: {match[2]}\n\n" + re.sub(r"^(?=.)", "   ", content, flags=re.M)


def _list_table(match):
    margin = match[1]
    rows = [line.strip().strip("|").split(" | ") for line in match[0].strip().split("\n")]
    del rows[1]
    lines = [f"{margin}.. list-table::", f"{margin}   :header-rows: 1", ""]
    for row in rows:
        for k, cell in enumerate(row):
            lines.append(f"{margin}   {'* -' if k == 0 else '  -'} {cell.strip()}")
    return "\n".join([*lines, "", ""])


def without_machinery(app, what, name, obj, skip, options):
    return True if name in MACHINERY else None


def setup(app):
    # Before napoleon, which takes the sections of a docstring apart.
    app.connect("autodoc-process-docstring", restructured, priority=100)
    app.connect("autodoc-skip-member", without_machinery)
