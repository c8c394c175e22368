"""What is drawn: each prompt with each input, under each seed, at each strength."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oft.errors import ParamsError
from oft.generation.inputs import caption_beside
from oft.types import Request

MAX_SLUG_CHARS = 40
_NUMBERED = re.compile(r"(\d+)-")


@dataclass(frozen=True)
class Item:
    """One row of the contact sheet: a prompt, and the picture it is drawn from.

    Attributes:
        key: begins the names of its pictures.
        source: the conditioning image or the picture to draw over; None for a prompt alone.
    """

    key: str
    prompt: str
    source: Path | None = None

    def requests(self, seed: int, number: int) -> list[Request]:
        """Return its pictures: the first has ``seed``, each other the next number, whatever the prompt."""
        return [Request(self.key, index, self.prompt, seed + index) for index in range(number)]


def plan_items(prompts: Sequence[str], sources: Sequence[Path], first: int) -> list[Item]:
    """Return an item of each prompt with each source; without prompts, of each source with its own text.

    Args:
        first: the number of the first.

    Raises:
        ParamsError: there is no prompt, or a source has none.
    """
    if not prompts and not sources:
        raise ParamsError(
            'there is nothing to draw; give a prompt, for example oft generate "a red toy on a table"'
        )
    pairs: list[tuple[str, Path | None]] = []
    for source in sources or [None]:  # type: ignore[list-item]
        own = None if prompts or source is None else caption_beside(source)
        if not prompts and own is None:
            assert source is not None
            raise ParamsError(
                f"{source}: has no prompt; give one on the command line, or write it into "
                f"{source.with_suffix('.txt').name} beside it"
            )
        pairs += [(prompt, source) for prompt in prompts or [own or ""]]
    digits = max(2, len(str(first + len(pairs) - 1)))
    return [
        Item(f"{first + place:0{digits}d}-{slug(prompt)}".rstrip("-"), prompt, source)
        for place, (prompt, source) in enumerate(pairs)
    ]


def slug(text: str) -> str:
    """Return the beginning of a text as part of a file's name: letters, digits and hyphens."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return words[:MAX_SLUG_CHARS].rstrip("-")


def next_number(folder: Path) -> int:
    """Return the number after the highest that a file of the folder begins with: nothing is overwritten."""
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    taken = [int(match[1]) for name in names if (match := _NUMBERED.match(name))]
    return max(taken, default=-1) + 1
