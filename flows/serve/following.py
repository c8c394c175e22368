"""The new lines of a log, as a person wants to read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO


class Follower:
    """Gives the whole lines that a growing file has got since it was last asked, without Python's tracebacks.

    What a failed run has to say follows its traceback; the way there through Prefect stays in the file.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._in_traceback = False

    def new_lines(self) -> Iterator[str]:
        """Yield the lines that are new, without their ends; a line that is still being written waits."""
        while True:
            start = self._file.tell()
            line = self._file.readline()
            if not line.endswith("\n"):
                self._file.seek(start)
                return
            if self._is_shown(line):
                yield line.rstrip()

    def _is_shown(self, line: str) -> bool:
        if line.startswith("Traceback (most recent call last):"):
            self._in_traceback = True
        elif line.strip() and not line[0].isspace():
            self._in_traceback = False
        return not self._in_traceback and bool(line.strip())
