"""The documentation site: `make docs` writes it to build/docs."""

import inspect
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
nb_output_stderr = "remove"  # What TensorFlow says when it starts.
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
    # Names of several arguments in two lines.
    text = re.sub(r"^( {4}\w[\w, ]*,)\n {8}(\w+: )", r"\1 \2", text, flags=re.M)
    # Every fence, between stretches of other text.
    parts = re.split(r"(^ *```\w+\n.*?^ *```$)", text, flags=re.S | re.M)
    parts[1::2] = map(_literal_block, parts[1::2])
    for k, part in enumerate(parts[::2]):
        paragraphs = part.split("\n\n")
        parts[2 * k] = "\n\n".join(each if each.lstrip().startswith(">>>") else _prose(each) for each in paragraphs)
    lines[:] = "".join(parts).split("\n")


def _prose(paragraph):
    if re.match(r" *\|.*\|\n *\|[-|]+\|", paragraph):
        return _list_table(paragraph)
    # Code between backticks, perhaps over the end of a line; outside of it, characters that mean something else.
    parts = re.split(r"(`[^`]+`)", paragraph)
    for k, part in enumerate(parts):
        if k % 2:
            follows = parts[k + 1][:1]  # reStructuredText ends code before a separator only.
            parts[k] = "``" + re.sub(r"\s*\n\s*", " ", part[1:-1]) + ("``\\ " if follows.isalnum() else "``")
        else:
            parts[k] = re.sub(r"(?<![\w*])(\*+)(?=\w+\b(?!\*))|(\|)|(?<= )(\*)(?= )", r"\\\g<0>", part)
    return "".join(parts)


def _literal_block(fence):
    first, *content, _ = fence.split("\n")
    margin, language = first.split("```")
    return "\n".join([f"{margin}.. code-block:: {language}", "", *(line and f"   {line}" for line in content)])


def _list_table(table):
    margin = " " * (len(table) - len(table.lstrip()))
    rows = [line.strip().strip("|").split(" | ") for line in table.strip().split("\n")]
    del rows[1]
    lines = [f"{margin}.. list-table::", f"{margin}   :header-rows: 1", ""]
    for row in rows:
        for k, cell in enumerate(row):
            lines.append(f"{margin}   {'* -' if k == 0 else '  -'} {_prose(cell.strip())}")
    return "\n".join(lines)


def constructor_arguments(app, what, name, obj, options, signature, return_annotation):
    """Keras hides them behind `__new__`."""
    if what != "class" or obj.__init__ is object.__init__:
        return None
    _, *parameters = inspect.signature(obj.__init__).parameters.values()
    # The docstring says more of an argument than its type does.
    return str(inspect.Signature([each.replace(annotation=inspect.Parameter.empty) for each in parameters])), None


def without_machinery(app, what, name, obj, skip, options):
    return True if name in MACHINERY else None


def setup(app):
    # Before napoleon, which takes the sections of a docstring apart.
    app.connect("autodoc-process-docstring", restructured, priority=100)
    app.connect("autodoc-process-signature", constructor_arguments)
    app.connect("autodoc-skip-member", without_machinery)
