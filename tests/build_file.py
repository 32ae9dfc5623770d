"""Writes BUILD from the imports: one `py_library` per module, whose deps are the modules that it imports.

python -m tests.build_file
"""

from tests.imports import MODULES, ROOT, imported_modules, module_name

__all__ = ["build_text"]

HEADER = '''"""One target per module; the deps are the imports. Written by `make build-file`; do not edit."""

package(default_visibility = ["//visibility:public"])

licenses(["notice"])
'''


def target_name(module):
    """The target of a module: `tfp_iaf_masks` of `tfp_iaf.masks`."""
    return module.replace(".", "_")


def target(path):
    """The `py_library` of one file, as buildifier would format it."""
    module = module_name(path)
    deps = sorted(f'":{target_name(imported)}"' for imported in imported_modules(path) if imported != module)
    lines = [f'name = "{target_name(module)}",', f'srcs = ["{path.relative_to(ROOT).as_posix()}"],']
    if len(deps) == 1:
        lines.append(f"deps = [{deps[0]}],")
    elif deps:
        lines += ["deps = [", *(f"    {dep}," for dep in deps), "],"]
    return "\n".join(["py_library(", *(f"    {line}" for line in lines), ")"])


def build_text():
    """The text of BUILD."""
    return "\n".join([HEADER, "\n\n".join(target(path) for path in sorted(MODULES, key=module_name)), ""])


if __name__ == "__main__":
    (ROOT / "BUILD").write_text(build_text())
    print(f"Wrote BUILD with {len(MODULES)} targets.")
