"""What a run shows while it goes on: one live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from flows.reproduce.run_table import Board, Row, Standing

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

STYLES = {
    Standing.WAITING: "dim",
    Standing.RUNNING: "bold cyan",
    Standing.CACHED: "blue",
    Standing.DONE: "green",
    Standing.FAILED: "bold red",
    Standing.SKIPPED: "yellow",
}
# What a table too high for its terminal keeps, in this order.
_MATTERS = (
    Standing.FAILED,
    Standing.RUNNING,
    Standing.WAITING,
    Standing.DONE,
    Standing.SKIPPED,
    Standing.CACHED,
)
_FRAME_LINES = 8  # of the table: frame, header, summary, and room for what is printed above
FRAMES_PER_SECOND = 4
# What DVC says of every stage and every run, and what a table says better.
_CHATTER = (
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
    """Return whether a line of DVC's says nothing that the table of stages does not."""
    return not line.strip() or line.startswith(_CHATTER) or line.endswith("didn't change, skipping")


class View(Protocol):
    """Shows a run to whoever started it; called from several threads."""

    def begin(self, board: Board) -> None:
        """Begin to show the stages of ``board``."""

    def changed(self, row: Row) -> None:
        """Show where a stage stands now."""

    def line(self, stage: str, text: str) -> None:
        """Show a line a stage printed; "" for one of the run itself."""


class SilentView:
    """Shows nothing: for runs that only a server watches."""

    def begin(self, board: Board) -> None: ...
    def changed(self, row: Row) -> None: ...
    def line(self, stage: str, text: str) -> None: ...


class PlainView:
    """A line for all that happens, which begins with the stage's name."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._board: Board | None = None
        self._standing: dict[str, Standing] = {}

    def begin(self, board: Board) -> None:
        self._board = board

    def changed(self, row: Row) -> None:
        before = self._standing.get(row.stage)
        self._standing[row.stage] = row.standing
        untold = row.standing in (Standing.CACHED, Standing.SKIPPED) and row.began is None
        if row.standing is not before and not untold:
            assert self._board is not None
            seconds = row.seconds(self._board.now())
            took = "" if row.ended is None or seconds is None else f" after {seconds:.1f} s"
            self.line(row.stage, f"{row.standing}{took}")

    def line(self, stage: str, text: str) -> None:
        with self._guard:
            print(f"[{stage}] {text}" if stage else text, flush=True)


class LiveView:
    """A table that stays below the lines the stages print."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._console = console
        self._board: Board | None = None
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=FRAMES_PER_SECOND,
            vertical_overflow="crop",
        )

    def begin(self, board: Board) -> None:
        self._board = board
        self._live.start(refresh=True)

    def end(self) -> None:
        """Leave the table as it stands."""
        if self._board is not None:
            self._live.stop()

    def changed(self, row: Row) -> None:
        """The next frame shows it."""

    def line(self, stage: str, text: str) -> None:
        from rich.text import Text

        self._console.print(Text.assemble((f"{stage}  ", "dim"), text) if stage else Text(text))

    def _render(self) -> RenderableType:
        from rich.text import Text

        if self._board is None:
            return Text("")
        return draw_table(self._board, max(4, self._console.height - _FRAME_LINES))


def draw_table(board: Board, max_rows: int) -> RenderableType:
    """Return the stages of a run as a table of at most so many rows: those that matter most, in order."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    now, rows = board.now(), board.rows
    kept = {row.stage for row in sorted(rows, key=_importance)[:max_rows]}
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("stage", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("", overflow="ellipsis", no_wrap=True)
    for row in rows:
        if row.stage in kept:
            seconds = row.seconds(now)
            table.add_row(
                row.stage,
                Text(row.standing, STYLES[row.standing]),
                "" if seconds is None else f"{seconds:.0f}",
                Text(row.note, "yellow"),
            )
    return Group(table, Text(f"  {summarize(board)}"))


def _importance(row: Row) -> tuple[int, float]:
    return _MATTERS.index(row.standing), -(row.ended or 0.0)


def summarize(board: Board) -> str:
    """Return the run in one line: how many stages stand where, and the seconds since it began."""
    counts = board.counts()
    parts = [f"{counts[standing]} {standing}" for standing in Standing if counts[standing]]
    return f"{', '.join(parts) or 'no stage'}; {board.now():.0f} s"


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
