"""One progress bar a stage: a bar with rate and remaining time on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

PLAIN_LINE_SECONDS = 10.0
BYTES = "B"
"""The unit of what is shown in MiB."""
MEBIBYTE = 1 << 20

_Item = TypeVar("_Item")


def format_seconds(seconds: float) -> str:
    """Return a duration as people say it: 8.2 s, 45 s, 3 min 20 s, 1 h 20 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


class Progress:
    """Counts work done and shows it."""

    def __init__(self, total: int | None, initial: int, description: str, unit: str) -> None:
        self.total, self.done, self.description, self.unit = total, initial, description, unit
        self.note = ""
        self._initial = initial
        self._started = self._shown = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=total,
                initial=initial,
                desc=description,
                unit=unit,
                unit_scale=unit == BYTES,
                unit_divisor=1024,
                leave=True,
            )

    def advance(self, count: int = 1) -> None:
        """Count finished work."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._shown >= PLAIN_LINE_SECONDS:
            self._shown = time.monotonic()
            print(self._line(), flush=True)

    def describe(self, note: str) -> None:
        """Show a few words beside the count."""
        self.note = note
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)

    def close(self) -> None:
        """Show the final count."""
        if self._bar is not None:
            self._bar.close()
        else:
            print(self._line(), flush=True)

    def _line(self) -> str:
        seconds = max(time.monotonic() - self._started, 1e-9)
        rate = (self.done - self._initial) / seconds
        left = (
            f", {(self.total - self.done) / rate:.0f} s left"
            if self.total and rate > 0 and self.done < self.total
            else ""
        )
        note = f", {self.note}" if self.note else ""
        if self.unit == BYTES:
            of_total = f"/{self.total / MEBIBYTE:.1f}" if self.total else ""
            amounts = f"{self.done / MEBIBYTE:.1f}{of_total} MiB, {rate / MEBIBYTE:.1f} MiB/s"
        else:
            of_total = f"/{self.total}" if self.total else ""
            amounts = f"{self.done}{of_total} {self.unit}, {rate:.1f} {self.unit}/s"
        return f"{self.description}: {amounts}{left}{note}"


@contextmanager
def progress(total: int | None, description: str, unit: str, initial: int = 0) -> Iterator[Progress]:
    """Yield a ``Progress`` that is closed, and shows where it stopped, at the end of the block."""
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


def hide_loading_bars() -> None:
    """Turn off transformers' bar for every file of weights: a stage has one progress bar, its own."""
    from transformers.utils import logging

    logging.disable_progress_bar()
