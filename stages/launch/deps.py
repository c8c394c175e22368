"""Write the source files that each stage uses into the deps of dvc.yaml, from the import graph (`make deps`).

Between the line ``# sources:`` of a stage and the end of its list stands what this module writes: the stage's
script, and what it imports, directly or through others, also inside functions. dvc.yaml's head has the rules.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grimp import ImportGraph

PIPELINE_FILE = Path("dvc.yaml")
PACKAGES = ("experiments", "miniature", "oft")
WIDTH = 110

# Modules that cannot change a result, or whose part in it shows in a stage's params or in what uses them.
# A package stands for all in it. What they import is not followed.
PLUMBING = (
    "oft.errors",  # what faults are called
    "oft.models.loading",  # reads a network as it is, or says why it cannot be
    "oft.params",  # checks settings; their values stand in the params of a stage
    "oft.progress",  # the progress bar
    "oft.settings",  # the types of settings
    "oft.storage",  # writes files whole or not at all; the same bytes to S3 and back
    "oft.types",  # records that modules hand each other
    "stages.launch",  # how a stage starts; what it is given stands in its command
)

# Readers and other components that are found by name are imported so, which no graph of imports shows.
_IMPORTS_BY_NAME = re.compile(r"\bimport_module\(|\bpkgutil\b")
# From a stage's command over its other keys, no further than the next command, to its list of sources.
_SOURCES = re.compile(
    r"(python -m stages\.(?P<script>\w+)\b(?:(?!python -m ).)*?\n(?P<lead> +(?:\[ )?)# sources:\n)[^]]*\]",
    re.DOTALL,
)


def is_plumbing(module: str) -> bool:
    """Return whether ``module`` is one of `PLUMBING` or lies in one."""
    return any(f"{module}.".startswith(f"{name}.") for name in PLUMBING)


def build_import_graph(root: Path) -> ImportGraph:
    """Return every import that can happen when a stage runs, without `PLUMBING`.

    A registry, which imports by name, is taken to import every module of its own folder.
    """
    import grimp

    graph = grimp.build_graph(*PACKAGES, "stages", exclude_type_checking_imports=True, cache_dir=None)
    for module in sorted(graph.modules):
        path = module_path(root, module)
        package = path.parent.relative_to(root).as_posix().replace("/", ".")
        if module.startswith(PACKAGES) and _IMPORTS_BY_NAME.search(path.read_text(encoding="utf-8")):
            for found in graph.find_descendants(package) - {module}:
                graph.add_import(importer=module, imported=found)
    for module in filter(is_plumbing, sorted(graph.modules)):
        graph.remove_module(module)
    return graph


def module_path(root: Path, module: str) -> Path:
    """Return the file of a module; of a package its ``__init__.py``."""
    path = root / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def used_files(graph: ImportGraph, root: Path, script: str) -> set[str]:
    """Return the files under ``root`` that stages/``script``.py uses; ``__init__.py`` only re-exports."""
    paths = [module_path(root, module) for module in graph.find_upstream_modules(f"stages.{script}")]
    relative = (path.relative_to(root) for path in paths if path.name != "__init__.py")
    return {path.as_posix() for path in relative if path.parts[0] in PACKAGES}


def fold(used: Iterable[str], every: Iterable[str]) -> list[str]:
    """Return ``used`` with a folder in place of its files where half of them or more are used.

    The same must hold for each folder below it, since a folder is named with all that is in it.

    Args:
        used: paths of files.
        every: paths of all files that could be.
    """
    used, every = set(used), set(every)
    folders = {parent.as_posix() for path in every for parent in PurePosixPath(path).parents[:-1]}

    def mostly_used(folder: str) -> bool:
        files = [path for path in every if str(PurePosixPath(path).parent) == folder]
        return len(files) > 0 and 2 * len(used.intersection(files)) >= len(files)

    whole = {
        folder
        for folder in folders
        if all(mostly_used(below) for below in folders if f"{below}/".startswith(f"{folder}/"))
    }
    named = set()
    for path in used:
        above = [parent.as_posix() for parent in PurePosixPath(path).parents[:-1]]
        named.add(next((folder for folder in reversed(above) if folder in whole), path))
    return sorted(named)


def write_sources(text: str, root: Path) -> str:
    """Return the text of a dvc.yaml with the sources of each stage written anew; all else stays as it is."""
    graph = build_import_graph(root)
    paths = {module_path(root, module) for module in graph.modules if module.startswith(PACKAGES)}
    every = {path.relative_to(root).as_posix() for path in paths if path.name != "__init__.py"}

    def fill(match: re.Match[str]) -> str:
        indent = " " * len(match["lead"])
        sources = [f"stages/{match['script']}.py", *fold(used_files(graph, root, match["script"]), every)]
        entries = ", ".join(sources) + "]"
        lines = textwrap.fill(
            entries, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
        return match[1] + lines

    return _SOURCES.sub(fill, text)


def main() -> None:
    text = PIPELINE_FILE.read_text(encoding="utf-8")
    PIPELINE_FILE.write_text(write_sources(text, Path.cwd()), encoding="utf-8")


if __name__ == "__main__":
    main()
