"""PYTHONPATH and commands that let a child process or a node find this project's code."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import flows
import oft


def package_folders() -> list[str]:
    """Return the folders of the package_folders that a node needs of this project."""
    return [str(Path(path)) for package in (flows, oft) for path in package.__path__]


def with_pythonpath(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``environment`` in which Python finds the modules this process has found."""
    kept = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    return {**environment, "PYTHONPATH": os.pathsep.join(dict.fromkeys([*_import_roots(), *kept]))}


def without_pythonpath(environment: Mapping[str, str]) -> dict[str, str]:
    """Undo ``with_pythonpath``: a stage uses the code of its own clone."""
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    return {
        **environment,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path not in _import_roots()),
    }


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs one of our modules, and not its namesake in the current folder."""
    return [sys.executable, "-P", "-m", module, *arguments]


def _import_roots() -> list[str]:
    return list(dict.fromkeys(str(Path(package).parent) for package in package_folders()))
