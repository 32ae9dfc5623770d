"""The modules of the package and what they import, read from their text. Standard library only."""

import ast
import pathlib

__all__ = ["MODULES", "PACKAGE", "ROOT", "imported_modules", "imported_names", "module_name"]

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "tfp_iaf"
MODULES = sorted(PACKAGE.rglob("*.py"))


def module_name(path):
    """The dotted name of a file: `tfp_iaf.masks`; of an `__init__.py`, its folder's."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name):
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or path.is_dir()


def imported_names(path):
    """The (module, name) pairs of `from module import name`, and (module, None) of `import module`, of tfp_iaf alone."""
    pairs = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            pairs |= {(alias.name, None) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise ValueError(f"{path.relative_to(ROOT)} has a relative import; write the full name of the module.")
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                pairs.add((full, None) if is_module(full) else (node.module, alias.name))
    return {(module, name) for module, name in pairs if module.split(".")[0] == "tfp_iaf"}


def imported_modules(path):
    """The names of the tfp_iaf modules that a file imports."""
    return {module for module, _ in imported_names(path)}
