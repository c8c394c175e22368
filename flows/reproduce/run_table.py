"""The status of each stage of a run, and when it began and ended: the source of tables and timelines."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The status of a stage during a run."""

    WAITING = "waiting"
    RUNNING = "running"
    CACHED = "cached"
    """Nothing to do, or restored from DVC's cache."""
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not started: a dependency failed, or the run ended before."""


@dataclass
class StageRow:
    """One stage; times are seconds since the run began."""

    stage: str
    status: Status = Status.WAITING
    began: float | None = None
    ended: float | None = None
    note: str = ""

    def seconds(self, now: float) -> float | None:
        """Return how long it has run, or ran; None if it never did."""
        return None if self.began is None else (now if self.ended is None else self.ended) - self.began


class RunTable:
    """The rows of a run, safe to use from several threads.

    Args:
        stages: in the order they are shown.
        on_change: called with each row that changed, under no lock.
    """

    def __init__(self, stages: Iterable[str], on_change: Callable[[StageRow], None] = lambda _: None) -> None:
        self._rows = {stage: StageRow(stage) for stage in stages}
        self._on_change = on_change
        self._start = time.monotonic()
        self._guard = threading.Lock()

    @property
    def rows(self) -> list[StageRow]:
        """The rows, in the order of the stages."""
        return list(self._rows.values())

    def now(self) -> float:
        """Return the seconds since the run began."""
        return time.monotonic() - self._start

    def counts(self) -> Counter[Status]:
        """Return how many stages have each status."""
        return Counter(row.status for row in self._rows.values())

    def begin(self, stage: str) -> None:
        """Mark a stage as running."""
        self._change(stage, Status.RUNNING, began=self.now())

    def end(self, stage: str, status: Status, note: str = "") -> None:
        """Set the final status of a stage."""
        row = self._rows[stage]
        self._change(stage, status, ended=None if row.began is None else self.now(), note=note)

    def note(self, stage: str, note: str) -> None:
        """Attach a note to a stage that is still running."""
        self._change(stage, self._rows[stage].status, note=note)

    def _change(
        self,
        stage: str,
        status: Status,
        *,
        began: float | None = None,
        ended: float | None = None,
        note: str = "",
    ) -> None:
        row = self._rows[stage]
        with self._guard:
            row.status, row.note = status, note
            row.began = row.began if began is None else began
            row.ended = row.ended if ended is None else ended
        self._on_change(row)


def overlaps(rows: Iterable[StageRow]) -> float:
    """Return the seconds during which two or more stages ran at once."""
    edges = sorted(
        edge
        for row in rows
        if row.began is not None and row.ended is not None
        for edge in ((row.began, 1), (row.ended, -1))
    )
    total, running, since = 0.0, 0, 0.0
    for moment, change in edges:
        if running >= 2:
            total += moment - since
        running, since = running + change, moment
    return total
