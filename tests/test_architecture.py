"""The rooms import only rooms above them, private API stays in its room, and the files keep their form."""

import ast
import importlib
import inspect
import re
import sys

import pytest

import tfp_iaf
from tests import build_file
from tests.imports import MODULES, PACKAGE, ROOT, imported_modules, imported_names, module_name

# Data flows down this list: a room imports rooms above it, and its own files.
ROOMS = [
    "_backend",
    "_types",
    "_arguments",
    "_tensors",
    "_inherited",
    "_registered",
    "_keras_arguments",
    "_folders",
    "_progress",
    "_convolutions",
    "versions",
    "_compat",
    "_kept_functions",
    "_eager",
    "masks",
    "scales",
    "layers",
    "noise",
    "networks",
    "bijectors",
    "posteriors",
    "priors",
    "likelihoods",
    "objectives",
    "models",
    "vi",
    "callbacks",
    "evaluation",
    "serving",
    "distributed",
]
# Machinery that every room may import.
SHARED = {room for room in ROOMS if room.startswith("_")}
PRIVATE_API = re.compile(
    r"tensorflow\.python|tf\.__internal__|keras\.src|\._value\b|gradient_registry|\._cache\b"
    r"|_get_parameterization|_convert_variables_to_tensors"
)
# A rate is "nats per image".
RATE = re.compile(
    r"[a-z] (nats|samples|products?|outputs?|parameters|steps|milliseconds|passes|images|seconds|bits) an? [a-z]+"
)
MAX_LINES = 350
SOURCES = [path for folder in ("benchmarks", "docs", "examples", "tests", "tfp_iaf") for path in (ROOT / folder).rglob("*.py")]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("*.md")]


def relative(path):
    return path.relative_to(ROOT).as_posix()


def room(name):
    """The room of a module, e.g. `bijectors` of `tfp_iaf.bijectors.inverses.blocks`."""
    return name.split(".")[1]


def back_arrows(name, imported):
    """The imports of module `name` that point to a room below its own."""
    return [other for other in sorted(imported) if ROOMS.index(room(other)) > ROOMS.index(room(name))]


def reached_past(own_room, pairs):
    """The imports (module, name or None) that reach for the machinery of another room."""
    return [
        (module, name)
        for module, name in sorted(pairs, key=str)
        if module != "tfp_iaf"
        and room(module) not in {own_room, *SHARED}
        and any(part.startswith("_") for part in [*module.split("."), *([name] if name else [])])
    ]


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_up_and_stay_outside_machinery(path):
    name = module_name(path)
    if name == "tfp_iaf":
        assert not reached_past(None, imported_names(path))
        return
    assert room(name) in ROOMS, f"{room(name)} has no place among the rooms of this test"
    assert "tfp_iaf" not in imported_modules(path), "import a room, not the whole package"
    assert not back_arrows(name, imported_modules(path))
    assert not reached_past(room(name), imported_names(path))


def test_the_checks_of_imports_can_fail():
    assert back_arrows("tfp_iaf.masks", {"tfp_iaf.models.vae"}) == ["tfp_iaf.models.vae"]
    assert reached_past("models", {("tfp_iaf.layers._tiles", None), ("tfp_iaf.layers.masked_dense", "_tiles")})
    assert not reached_past("models", {("tfp_iaf._compat", "tf_variables"), ("tfp_iaf.models._data", "check")})


@pytest.mark.parametrize("path", [*(ROOT / "examples").glob("*.py"), *(ROOT / "benchmarks").rglob("*.py")], ids=relative)
def test_examples_and_benchmarks_use_public_modules(path):
    pairs = {(module, name) for module, name in imported_names(path) if module != "tfp_iaf"}
    assert not [pair for pair in pairs if any(part.startswith("_") for part in [*pair[0].split("."), pair[1] or ""])]


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_private_api_is_used_in_one_room(path):
    if not module_name(path).startswith("tfp_iaf._compat"):
        lines = enumerate(path.read_text().splitlines(), start=1)
        assert not [f"line {number}: {line.strip()}" for number, line in lines if PRIVATE_API.search(line)]


def test_the_room_of_private_api_lists_its_modules():
    text = ast.get_docstring(ast.parse((PACKAGE / "_compat" / "__init__.py").read_text())) or ""
    modules = {path.stem for path in (PACKAGE / "_compat").glob("*.py")} - {"__init__"}
    assert modules
    assert not [name for name in modules if f"`{name}.py`" not in text]


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_files_are_small_and_declare_their_names(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    tree = ast.parse(text)
    assert len(ast.get_docstring(tree) or "") > len("..."), "a module says what it holds"
    assert path.name != "utils.py"
    assigned = [
        target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets if hasattr(target, "id")
    ]
    assert "__all__" in assigned
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


@pytest.mark.parametrize("path", [path for path in MODULES if "._" not in module_name(path)], ids=module_name)
def test_public_functions_and_constructors_are_annotated(path):
    # What they return, in the modules whose names are public; mypy then asks for the types of their arguments.
    body = ast.parse(path.read_text()).body
    classes = [node for node in body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    functions = [
        node for node in [*body, *(node for each in classes for node in each.body)] if isinstance(node, ast.FunctionDef)
    ]
    public = [node for node in functions if not node.name.startswith("_") or node.name == "__init__"]
    assert not [node.name for node in public if node.returns is None]


def test_only_the_named_third_parties_are_imported():
    allowed = {"tfp_iaf", "tensorflow", "tensorflow_probability", "keras", "numpy"} | sys.stdlib_module_names
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, relative(path)
            if isinstance(node, ast.ImportFrom):
                assert node.module.split(".")[0] in allowed, relative(path)


def test_build_is_what_the_imports_say():
    assert (ROOT / "BUILD").read_text() == build_file.build_text(), "BUILD is stale: run `make build-file`"


@pytest.mark.parametrize("path", [*SOURCES, *PAGES], ids=relative)
def test_rates_are_written_with_per(path):
    assert not [match[0] for match in RATE.finditer(path.read_text())]


def public_rooms():
    modules = [module for _, module in inspect.getmembers(tfp_iaf, inspect.ismodule) if module.__name__.count(".") == 1]
    return [module for module in modules if not room(module.__name__).startswith("_")]


def test_public_names_exist_and_are_documented():
    assert {room(module.__name__) for module in public_rooms()} >= {"networks", "bijectors", "posteriors", "models"}
    for name in tfp_iaf.__all__:
        assert hasattr(tfp_iaf, name), name
    for module in public_rooms():
        for name in module.__all__:
            value = getattr(module, name)
            assert inspect.getdoc(value) or not callable(value), f"{module.__name__}.{name} has no docstring"


def test_every_module_can_be_imported_alone():
    for path in MODULES:
        module = importlib.import_module(module_name(path))
        for name in module.__all__:
            assert hasattr(module, name), f"{module.__name__} has no {name}"
