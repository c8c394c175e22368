"""Show a run while it goes on: one live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from flows.reproduce.durations import Forecast
from flows.reproduce.run_table import RunTable, StageRow, Status
from oft.progress import format_seconds

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

STYLES = {
    Status.WAITING: "dim",
    Status.RUNNING: "bold cyan",
    Status.CACHED: "blue",
    Status.DONE: "green",
    Status.FAILED: "bold red",
    Status.SKIPPED: "yellow",
}
# Which rows a table too high for its terminal keeps, in this order.
_PRIORITY = (
    Status.FAILED,
    Status.RUNNING,
    Status.WAITING,
    Status.DONE,
    Status.SKIPPED,
    Status.CACHED,
)
NOTHING_KNOWN = Forecast({}, 1)
_FRAME_LINES = 8  # of the table: frame, header, summary, and room for what is printed above
FRAMES_PER_SECOND = 4
# Lines that DVC prints for every stage and every run, and that the table says better.
_CHATTER = (
    "Running stage '",
    "> python -m stages.",
    "Updating lock file",
    "Generating lock file",
    "Verifying outputs in frozen",
    "WARNING: stage:",
    "To track the changes with git",
    "To enable auto staging",
    "\tgit add",
    "\tdvc config",
    "Use `dvc push`",
)


def is_chatter(line: str) -> bool:
    """Return whether a line of DVC's adds nothing to the table of stages."""
    return not line.strip() or line.startswith(_CHATTER) or line.endswith("didn't change, skipping")


class View(Protocol):
    """Shows a run to its user; called from several threads."""

    def begin(self, table: RunTable, forecast: Forecast) -> None:
        """Begin to show the stages of ``table``."""

    def changed(self, row: StageRow) -> None:
        """Show the new status of a stage."""

    def line(self, stage: str, text: str) -> None:
        """Show a line a stage printed; "" for one of the run itself."""


class SilentView:
    """Shows nothing: for runs that only a server watches."""

    def begin(self, table: RunTable, forecast: Forecast) -> None: ...
    def changed(self, row: StageRow) -> None: ...
    def line(self, stage: str, text: str) -> None: ...


class PlainView:
    """Prints a line for every event, the stage's name first."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._table: RunTable | None = None
        self._status: dict[str, Status] = {}
        self._forecast = NOTHING_KNOWN

    def begin(self, table: RunTable, forecast: Forecast) -> None:
        self._table, self._forecast = table, forecast

    def changed(self, row: StageRow) -> None:
        before = self._status.get(row.stage)
        self._status[row.stage] = row.status
        is_silent = row.status in (Status.CACHED, Status.SKIPPED) and row.began is None
        if row.status is not before and not is_silent:
            assert self._table is not None
            seconds = row.seconds(self._table.now())
            if row.ended is None or seconds is None:
                self.line(row.stage, row.status)
            else:
                so_far = describe_progress(self._table, self._forecast)
                self.line(row.stage, f"{row.status} after {format_seconds(seconds)} ({so_far})")

    def line(self, stage: str, text: str) -> None:
        with self._guard:
            print(f"[{stage}] {text}" if stage else text, flush=True)


class LiveView:
    """A table that stays below the lines the stages print."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._console = console
        self._table: RunTable | None = None
        self._forecast = NOTHING_KNOWN
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=FRAMES_PER_SECOND,
            vertical_overflow="crop",
        )

    def begin(self, table: RunTable, forecast: Forecast) -> None:
        self._table, self._forecast = table, forecast
        self._live.start(refresh=True)

    def end(self) -> None:
        """Leave the table as it stands."""
        if self._table is not None:
            self._live.stop()

    def changed(self, row: StageRow) -> None:
        """The next frame shows it."""

    def line(self, stage: str, text: str) -> None:
        from rich.text import Text

        self._console.print(Text.assemble((f"{stage}  ", "dim"), text) if stage else Text(text))

    def _render(self) -> RenderableType:
        from rich.text import Text

        if self._table is None:
            return Text("")
        return draw_table(self._table, max(4, self._console.height - _FRAME_LINES), self._forecast)


def draw_table(run_table: RunTable, max_rows: int, forecast: Forecast | None = None) -> RenderableType:
    """Return the stages of a run, those of the highest priority, as a table of at most ``max_rows`` rows."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    now, rows = run_table.now(), run_table.rows
    kept = {row.stage for row in sorted(rows, key=_priority)[:max_rows]}
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("stage", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("", overflow="ellipsis", no_wrap=True)
    for row in rows:
        if row.stage in kept:
            seconds = row.seconds(now)
            table.add_row(
                row.stage,
                Text(row.status, STYLES[row.status]),
                "" if seconds is None else format_seconds(seconds),
                Text(row.note, "yellow"),
            )
    so_far = describe_progress(run_table, forecast or NOTHING_KNOWN)
    return Group(table, Text(f"  {so_far}; {summarize(run_table)}"))


def _priority(row: StageRow) -> tuple[int, float]:
    return _PRIORITY.index(row.status), -(row.ended or 0.0)


def summarize(table: RunTable) -> str:
    """Return the run in one line: the number of stages in each status, and the time since it began."""
    counts = table.counts()
    parts = [f"{counts[status]} {status}" for status in Status if counts[status]]
    return f"{', '.join(parts) or 'no stage'}; {format_seconds(table.now())}"


def describe_progress(table: RunTable, forecast: Forecast) -> str:
    """Return how many stages have ended and about how long the others take: 17/60, about 6 min left."""
    counts = table.counts()
    ended = sum(counts.values()) - counts[Status.WAITING] - counts[Status.RUNNING]
    left = forecast.left(table.rows, table.now())
    return f"{ended}/{sum(counts.values())}" + ("" if not left else f", about {format_seconds(left)} left")


_current: ContextVar[View | None] = ContextVar("view", default=None)


def current_view() -> View:
    """Return the view that ``show_run`` opened, or one that shows nothing."""
    return _current.get() or SilentView()


@contextmanager
def show_run() -> Iterator[None]:
    """Show the run of the block: a live table where standard output is a terminal, else plain lines."""
    from rich.console import Console

    live = LiveView(Console()) if sys.stdout.isatty() else None
    token = _current.set(live or PlainView())
    try:
        yield
    finally:
        _current.reset(token)
        if live is not None:
            live.end()
