"""Write the source files that each stage uses into the deps of dvc.yaml, from the import graph (`make deps`).

Between the line ``# sources:`` of a stage and the end of its list stands what this module writes: the stage's
script, and what it imports (``stages.launch.sources``). dvc.yaml's head has the rules.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from stages.launch.sources import PACKAGES, is_plumbing, source_closure

PIPELINE_FILE = Path("dvc.yaml")
WIDTH = 110

# From a stage's command over its other keys, no further than the next command, to its list of sources.
_SOURCES = re.compile(
    r"(python -m stages\.(?P<script>\w+)\b(?:(?!python -m ).)*?\n(?P<lead> +(?:\[ )?)# sources:\n)[^]]*\]",
    re.DOTALL,
)


def used_files(root: Path, script: str) -> set[str]:
    """Return the files under ``root`` that stages/``script``.py uses; ``__init__.py`` only re-exports."""
    paths = source_closure(root / "stages" / f"{script}.py", root)
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
    modules = (path.relative_to(root) for package in PACKAGES for path in (root / package).rglob("*.py"))
    every = {
        path.as_posix()
        for path in modules
        if path.name != "__init__.py" and not is_plumbing(".".join(path.with_suffix("").parts))
    }

    def fill(match: re.Match[str]) -> str:
        indent = " " * len(match["lead"])
        sources = [f"stages/{match['script']}.py", *fold(used_files(root, match["script"]), every)]
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
