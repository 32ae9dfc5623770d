"""The rooms import only rooms above them, no file holds more than a concept, and BUILD says what the imports say."""

import ast
import pathlib
import sys

import pytest

import tfp_iaf

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "tfp_iaf"
# Data flows down this list.
ROOMS = ["arguments", "masks", "networks", "bijectors", "posteriors", "objectives", "models", "evaluation", "serving"]
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path):
    """The tfp_iaf modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                candidate = f"{node.module}.{alias.name}"
                is_module = (ROOT / (candidate.replace(".", "/") + ".py")).exists() or (
                    ROOT / candidate.replace(".", "/")
                ).is_dir()
                names.add(candidate if is_module else node.module)
    return {name for name in names if name.split(".")[0] == "tfp_iaf"}


def room(name):
    return name.split(".")[1]


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_arrows_point_down(path):
    name = module_name(path)
    if name == "tfp_iaf":
        return
    for imported in imported_modules(path):
        assert ROOMS.index(room(imported)) <= ROOMS.index(room(name)), f"{name} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_files_are_small_and_declare_their_names(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 350
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    assert any(isinstance(node, ast.Assign) and node.targets[0].id == "__all__" for node in tree.body)
    assert path.name != "utils.py"


def test_only_the_named_third_parties_are_imported():
    allowed = {"tfp_iaf", "tensorflow", "tensorflow_probability", "keras", "numpy"}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed | sys.stdlib_module_names
            if isinstance(node, ast.ImportFrom):
                assert node.module.split(".")[0] in allowed | sys.stdlib_module_names


def build_targets():
    """BUILD's py_library targets: name -> (srcs, deps)."""
    targets = {}
    for node in ast.parse((ROOT / "BUILD").read_text()).body:
        call = getattr(node, "value", None)
        if isinstance(call, ast.Call) and call.func.id == "py_library":
            kwargs = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
            targets[kwargs["name"]] = (kwargs["srcs"], set(kwargs.get("deps", [])))
    return targets


def test_build_has_one_target_a_module_with_its_imports_as_deps():
    expected = {}
    for path in MODULES:
        name = module_name(path)
        deps = {":" + imported.replace(".", "_") for imported in imported_modules(path)}
        if name != "tfp_iaf":
            deps.discard(":" + name.replace(".", "_"))
        expected[name.replace(".", "_")] = ([str(path.relative_to(ROOT))], deps)
    assert build_targets() == expected


def test_public_names():
    for name in tfp_iaf.__all__:
        assert hasattr(tfp_iaf, name)
    for module in ("networks", "bijectors", "posteriors", "models"):
        for name in getattr(tfp_iaf, module).__all__:
            assert hasattr(getattr(tfp_iaf, module), name)
            assert getattr(getattr(tfp_iaf, module), name).__doc__
