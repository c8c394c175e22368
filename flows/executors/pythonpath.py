"""This project's code, as a child process or a node finds it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import flows
import oft


def packages() -> list[str]:
    """Return the folders of the packages that a node needs of this project."""
    return [str(Path(path)) for package in (flows, oft) for path in package.__path__]


def with_code(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``environment`` in which Python finds the modules this process has found."""
    kept = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    return {**environment, "PYTHONPATH": os.pathsep.join(dict.fromkeys([*_parents(), *kept]))}


def without_code(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``environment`` without what ``with_code`` added: a stage uses the code of its own clone."""
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    return {**environment, "PYTHONPATH": os.pathsep.join(path for path in paths if path not in _parents())}


def program(module: str, *arguments: str) -> list[str]:
    """Return the command that runs one of our modules, and not its namesake in the current folder."""
    return [sys.executable, "-P", "-m", module, *arguments]


def _parents() -> list[str]:
    return list(dict.fromkeys(str(Path(package).parent) for package in packages()))
