"""Run DVC commands as child processes, and parse their output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from flows.faults import explain_faults
from flows.process import CommandResult, run_command
from oft.errors import UserError
from oft.storage.private import SITE_CACHE, site_cache

ReproAction = Literal["ran", "restored", "unchanged"]


def run_dvc(arguments: Sequence[str], *, root: Path, log: Callable[[str], None]) -> CommandResult:
    """Run ``dvc ARGUMENTS`` in ``root``; it waits for another DVC process instead of failing."""
    return run_command(dvc_command(arguments), root=root, log=log, environment=dvc_environment())


def require_dvc(arguments: Sequence[str], *, root: Path, log: Callable[[str], None]) -> None:
    """Run ``dvc ARGUMENTS`` as ``run_dvc`` does.

    Raises:
        UserError: it failed; the message carries its last lines.
    """
    finished = run_dvc(arguments, root=root, log=log)
    if finished.exit_code != 0:
        raise UserError(describe_failure(f"dvc {' '.join(arguments)}", finished))


def dvc_command(arguments: Sequence[str]) -> list[str]:
    """Return the command ``dvc ARGUMENTS`` of this interpreter; it waits for another DVC process."""
    return [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]


def dvc_environment() -> dict[str, str]:
    """This process's environment for DVC: its own interpreter first on PATH, since a stage's command says
    ``python``, and a private site cache.

    Raises:
        UserError: the site cache is not this user's alone.
    """
    path = os.pathsep.join(filter(None, (str(Path(sys.executable).parent), os.environ.get("PATH", ""))))
    return {
        **os.environ,
        "PATH": path,
        "PYTHONUNBUFFERED": "1",
        "DVC_NO_ANALYTICS": "1",
        SITE_CACHE: str(site_cache()),
    }


def read_dvc_json(arguments: Sequence[str], *, root: Path) -> Any:
    """Return the parsed output of ``dvc ARGUMENTS --json``.

    Raises:
        UserError: the command failed; the message carries its last lines.
    """
    lines: list[str] = []
    require_dvc([*arguments, "--json"], root=root, log=lines.append)
    return json.loads(next(line for line in reversed(lines) if line.startswith(("{", "["))))


def read_repro_action(lines: Sequence[str]) -> ReproAction:
    """Return the action of ``dvc repro --single-item``, from the lines it printed."""
    if any(line.startswith("Running stage ") for line in lines):
        return "ran"
    if any("is cached - skipping run" in line for line in lines):
        return "restored"
    return "unchanged"


def describe_failure(what: str, finished: CommandResult) -> str:
    """Return one message for a failed command: its name, exit status, last lines, and a remedy."""
    code = finished.exit_code
    ending = f"exit code {code}" if code >= 0 else f"signal {-code}"
    said = "\n".join(f"  {line}" for line in finished.tail) or "  (it printed nothing)"
    meanings = "".join(f"\n{meaning}" for meaning in explain_faults(finished.tail))
    return f"{what} failed with {ending}; its last lines:\n{said}{meanings}"


def describe_changes(status: Mapping[str, Any]) -> str:
    """Return one line for each stage that ``dvc status --json`` reports as changed."""
    return "\n".join(f"  {stage}: {json.dumps(changes)}" for stage, changes in status.items())


def describe_change(changes: object) -> str:
    """Return in a line why DVC finds one stage changed: what, and how each of it differs."""
    entries = changes if isinstance(changes, list) else [changes]
    parts = []
    for entry in entries:
        if not isinstance(entry, dict):
            parts.append(str(entry))
            continue
        for kind, names in entry.items():
            listed = (
                [f"{name} ({how})" for name, how in names.items()] if isinstance(names, dict) else [names]
            )
            parts.append(f"{kind}: {', '.join(map(str, listed))}")
    return "; ".join(parts)
