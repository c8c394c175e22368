"""Lock a folder against a second run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from oft.errors import UserError
from oft.storage import file_lock


class Busy(UserError):
    """Another run works where this one was to."""


@contextmanager
def exclusive_lock(path: Path, say: Callable[[str], None], wait: bool = True) -> Iterator[None]:
    """Hold a lock for the block, waiting for who has it; it goes with the process, however that ends.

    Raises:
        Busy: another process has it and ``wait`` is false.
    """
    with file_lock(path, lambda process: announce_wait(process, path.parent, say, wait)):
        yield


def announce_wait(process: str, folder: Path, say: Callable[[str], None], wait: bool) -> None:
    """Say that a process works in a folder and is waited for.

    Raises:
        Busy: it is not to be waited for.
    """
    if not wait:
        raise Busy(f"another run works in {folder} (process {process}); wait until it has ended")
    say(f"Another run works in {folder} (process {process}); waiting for its end.")
