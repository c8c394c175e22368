"""Finished work kept as JSON lines, so that an interrupted run goes on where it was."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any


class Journal:
    """The results of a run's pieces of work, in their order.

    A run asks `recall` for each piece of work before doing it, and hands the result of what it had to do to
    `record`. A journal must be of this very run: name its folder by all that shapes the results.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._finished = deque(_read_finished(path))

    def recall(self) -> Any | None:
        """Return the result of the next piece of work, None where no earlier run finished it."""
        return self._finished.popleft() if self._finished else None

    def record(self, result: Any) -> None:
        """Append a result, JSON values; it outlives this process from here on."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as stream:
            stream.write(json.dumps(result).encode() + b"\n")


def _read_finished(path: Path) -> list[Any]:
    """Return the whole lines of a journal and cut off what follows: a killed run can leave half a line."""
    if not path.is_file():
        return []
    finished, sound_bytes = [], 0
    with path.open("r+b") as stream:
        for line in stream:
            try:
                result = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                result = None
            if result is None:
                break
            finished.append(result)
            sound_bytes += len(line)
        stream.truncate(sound_bytes)
    return finished
