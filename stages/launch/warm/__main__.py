"""The process of a warm server: ``python -P .../warm/__main__.py SOCKET LIBRARIES``, its socket as stdin.

The client starts it by path and with -P, so the project is out of its reach. It loads this folder under a
private name: a child must find none of the project's modules loaded, or an edit of them would have no effect.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

PACKAGE = "_oft_warm"


def load_server() -> ModuleType:
    """Return server.py of this folder, as a module of the package ``_oft_warm``."""
    folder = Path(__file__).parent
    spec = spec_from_file_location(PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec is not None and spec.loader is not None
    sys.modules[PACKAGE] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[PACKAGE])
    return import_module(f"{PACKAGE}.server")


def exit_quickly(status: list[int]) -> None:
    """Exit with ``status``, if it is known: Python needs two seconds of CPU to tear down what was imported.

    Registered with ``atexit`` before anything is imported, so called last: no thread runs any more, and every
    other handler has run.
    """
    if status:
        sys.stdout.flush()
        sys.stderr.flush()
        ctypes.CDLL(None).fflush(None)  # what libraries in C have printed
        os._exit(status[0])


if __name__ == "__main__":
    exit_status: list[int] = []
    atexit.register(exit_quickly, exit_status)
    exit_status.append(load_server().main(*sys.argv[1:]))
