"""One progress bar a stage: a bar on a terminal, plain lines elsewhere, with rate and remaining time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

PLAIN_LINE_SECONDS = 10.0
FIRST_SECONDS = 0.2
"""What is done this soon after the first item was done with it: pictures of one batch are."""
BYTES = "B"
"""The unit of what is shown in KiB and MiB."""
KIBIBYTE = 1 << 10
MEBIBYTE = 1 << 20

_Item = TypeVar("_Item")


def format_seconds(seconds: float) -> str:
    """Return a duration as people say it: ``2.4 s``, ``95 s``, ``3 min``, ``1 h 20 min``.

    Tenths below ten seconds, minutes from two minutes on, hours from one hour on, each rounded.
    """
    if round(seconds, 1) < 10:
        return f"{max(seconds, 0.0):.1f} s"
    if round(seconds) < 120:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def format_rate(per_second: float, unit: str) -> str:
    """Return a rate above 0, below one a second as the time that one takes: ``2.4 s/picture``.

    Args:
        unit: what is counted, ``pictures`` or ``picture``; `BYTES` for bytes.
    """
    if unit == BYTES:
        size, name = (MEBIBYTE, "MiB") if per_second >= MEBIBYTE else (KIBIBYTE, "KiB")
        return f"{per_second / size:.1f} {name}/s"
    one = unit.removesuffix("s")
    if per_second < 1:
        return f"{format_seconds(1 / per_second)}/{one}"
    return f"{per_second:.1f} {one}s/s" if per_second < 100 else f"{per_second:.0f} {one}s/s"


class Progress:
    """Counts work done and shows it.

    The rate is that of all work but the first item's or batch's, which pays for whatever is loaded and
    compiled on the way; before the second there is none.
    """

    def __init__(self, total: int | None, initial: int, description: str, unit: str) -> None:
        self.total, self.done, self.description, self.unit = total, initial, description, unit
        self.note = ""
        self._shown = time.monotonic()
        self._first: tuple[float, int] | None = None  # when the first was done, and how many by then
        self._last = self._shown
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=initial, leave=True, bar_format=self._bar_format())

    def advance(self, count: int = 1) -> None:
        """Count finished work."""
        self.done += count
        self._last = time.monotonic()
        began = self._last if self._first is None else self._first[0]
        if self._last - began < FIRST_SECONDS:
            self._first = (began, self.done)
        if self._bar is not None:
            self._bar.bar_format = self._bar_format()
            self._bar.update(count)
        elif self._last - self._shown >= PLAIN_LINE_SECONDS:
            self._shown = self._last
            print(self._line(), flush=True)

    def describe(self, note: str) -> None:
        """Show a few words beside the count."""
        self.note = note

    def close(self) -> None:
        """Show the final count."""
        if self._bar is not None:
            self._bar.bar_format = self._bar_format()
            self._bar.close()
        else:
            print(self._line(), flush=True)

    def rate(self) -> float | None:
        """Return how many a second were done after the first, None before there is another."""
        if self._first is None:
            return None
        since, done_by_then = self._first
        counted, seconds = self.done - done_by_then, self._last - since
        return counted / seconds if counted > 0 and seconds > 0 else None

    def _line(self) -> str:
        return f"{self.description}: {self._status()}"

    def _bar_format(self) -> str:
        # tqdm's own rate takes the first item in, and its units are its own: this says the same as a line.
        status = self._status().replace("{", "{{").replace("}", "}}")
        description = self.description.replace("{", "{{").replace("}", "}}")
        bar = "{percentage:3.0f}%|{bar}| " if self.total else ""
        return f"{description}: {bar}{status}"

    def _status(self) -> str:
        rate = self.rate()
        parts = [self._amount()]
        if rate is not None:
            parts.append(format_rate(rate, self.unit))
            if self.total and self.done < self.total:
                parts.append(f"{format_seconds((self.total - self.done) / rate)} left")
        return ", ".join([*parts, self.note] if self.note else parts)

    def _amount(self) -> str:
        if self.unit == BYTES:
            of_total = f"/{self.total / MEBIBYTE:.1f}" if self.total else ""
            return f"{self.done / MEBIBYTE:.1f}{of_total} MiB"
        of_total = f"/{self.total}" if self.total else ""
        return f"{self.done}{of_total} {self.unit.removesuffix('s')}s"


@contextmanager
def progress(total: int | None, description: str, unit: str, initial: int = 0) -> Iterator[Progress]:
    """Yield a ``Progress`` that is closed, and shows where it stopped, at the end of the block.

    Args:
        total: how many there are, None where nobody knows.
        unit: what is counted, ``pictures`` or ``picture``; `BYTES` for bytes.
        initial: how many an earlier run did.
    """
    bar = Progress(total, initial, description, unit)
    try:
        yield bar
    finally:
        bar.close()


def count(items: Iterable[_Item], description: str, unit: str, total: int | None = None) -> Iterator[_Item]:
    """Yield the items and show how many went by."""
    with progress(total, description, unit) as bar:
        for item in items:
            yield item
            bar.advance()


def print_line(text: str) -> None:
    """Print a line, on a terminal above the progress bar."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        tqdm.write(text, file=sys.stdout)
    else:
        print(text, flush=True)


def hide_loading_bars() -> None:
    """Turn off transformers' bar for every file of weights: a stage has one progress bar, its own."""
    from transformers.utils import logging

    logging.disable_progress_bar()
