"""Which processes can share one warm server: those for which its fork equals a cold start."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import site
import sys
from pathlib import Path

# Variables that differ between stages or shells and that no library reads while it is imported.
IGNORED_VARIABLES = ("_", "PWD", "OLDPWD", "SHLVL", "COLUMNS", "LINES", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
IGNORED_PREFIXES = ("DVC_", "MAKE_TERM", "OFT_TRAIN_", "OFT_WARM", "PREFECT_", "PYTEST_")
PACKAGE_SUFFIXES = (".dist-info", ".egg-info", ".egg-link", ".pth")


def server_key(flags: list[str], libraries: str) -> str:
    """Return a name for all processes for which a fork of one server is what a cold start would have been."""
    environment = (
        (name, value)
        for name, value in os.environ.items()
        if name not in IGNORED_VARIABLES and not name.startswith(IGNORED_PREFIXES)
    )
    limits = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))
    namespaces = Path("/proc/self/ns")
    facts = [
        [sys.executable, sys.version, flags, libraries, modification_times()],
        sorted(environment),
        sorted(os.sched_getaffinity(0)),
        [resource.getrlimit(getattr(resource, name)) for name in limits],
        [os.getpriority(os.PRIO_PROCESS, 0), os.geteuid(), os.getegid(), sorted(os.getgroups())],
        [os.uname().nodename, Path("/proc/self/cgroup").read_text()],
        sorted(os.readlink(space) for space in namespaces.iterdir()),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def modification_times() -> list[tuple[str, int]]:
    """Return files and times that change when the interpreter, an installed package or this folder does."""
    folders = filter(Path.is_dir, map(Path, [*site.getsitepackages(), site.getusersitepackages()]))
    packages = (entry for folder in folders for entry in folder.iterdir() if entry.suffix in PACKAGE_SUFFIXES)
    files = [Path(sys.executable), *sorted(Path(__file__).parent.glob("*.py")), *sorted(packages)]
    return [(str(file), file.stat().st_mtime_ns) for file in files]
