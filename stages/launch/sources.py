"""Which source files a stage's result depends on, found by its imports, without importing anything.

A checkpoint's key hashes them (``oft.training.checkpoint.run_key``), so that an edit elsewhere, of the report
for example, leaves an interrupted training its checkpoint.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("experiments", "miniature", "oft")

# Modules that cannot change a result, or whose part in it shows in a stage's settings or in what uses them. A
# package stands for all in it. What they import is not followed.
PLUMBING = (
    "oft.errors",  # what faults are called
    "oft.models.loading",  # reads a network as it is, or says why it cannot be
    "oft.params",  # checks settings; their values stand in the key
    "oft.progress",  # the progress bar
    "oft.settings",  # the types of settings, and which section a shared one comes from
    "oft.storage",  # writes files whole or not at all; the same bytes to S3 and back
    "oft.types",  # records that modules hand each other
    "oft.weights",  # refuses weights, and changes none
)

_IMPORTS_BY_NAME = re.compile(r"\bimport_module\(|\bpkgutil\b")


def source_closure(script: Path, root: Path = ROOT) -> list[Path]:
    """Return ``script`` and the files under ``root`` that it imports, directly or through others, in order.

    Imports inside functions count, those for type checkers and of `PLUMBING` do not. Of a package that is
    imported, its ``__init__.py`` is meant; a registry, which imports by name, is taken to import every module
    of its folder.
    """
    found: set[Path] = set()
    waiting = [script.resolve()]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imported_files(file, root.resolve())
    return sorted(found)


def _imported_files(file: Path, root: Path) -> Iterator[Path]:
    text = file.read_text(encoding="utf-8")
    for name in _imported_names(ast.parse(text)):
        module = None if is_plumbing(name) else _module_file(root, name)
        if module is not None:
            yield module
    if _IMPORTS_BY_NAME.search(text):
        yield from file.parent.glob("*.py")
        yield from file.parent.glob("*/__init__.py")


def _imported_names(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names that a module imports at run time: modules, and what it takes from them."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from _imported_names(ast.Module(node.orelse, []))
        elif isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            yield from _imported_names(node)


def is_plumbing(name: str) -> bool:
    """Return whether a module is one of `PLUMBING` or lies in one."""
    return any(f"{name}.".startswith(f"{module}.") for module in PLUMBING)


def _module_file(root: Path, name: str) -> Path | None:
    """Return the file of one of the project's modules; None for a name that is none."""
    if name.partition(".")[0] not in PACKAGES:
        return None
    path = root / name.replace(".", "/")
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)
