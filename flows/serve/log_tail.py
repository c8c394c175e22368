"""Follow a log without its tracebacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO


class LogTail:
    """Reads the new lines of a growing file, without Python's tracebacks.

    A failed run's message follows its traceback; the frames, which are Prefect's, stay in the file.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._in_traceback = False

    def new_lines(self) -> Iterator[str]:
        """Yield the new whole lines, without their ends."""
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
