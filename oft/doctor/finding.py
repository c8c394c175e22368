"""One thing that was looked at, and which part of a run it is for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from oft.params import Params

Level = Literal["fault", "warning", "ok"]
"""A run would fail; it would end without something; nothing is wrong."""


@dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes:
        about: the setting, or the part of the machine.
        message: rule, value, remedy.
    """

    level: Level
    about: str
    message: str

    def __str__(self) -> str:
        return f"{self.level:<8} {self.about}: {self.message}"


@dataclass(frozen=True)
class Scope:
    """The stages that are about to run: what they do not need is not looked at.

    Attributes:
        stages: their names, such as ``acquire@coco``; None for all.
    """

    stages: Collection[str] | None = None

    def has(self, script: str, item: str = "") -> bool:
        """Return whether a stage of that script runs, on that item of its matrix if one is given.

        Scripts have variants, such as ``init_subject`` of ``init``.
        """
        if self.stages is None:
            return True
        return any(
            name.partition("@")[0].partition("_")[0] == script
            and (not item or item in (name.partition("@")[2], name.rpartition("-")[2]))
            for name in self.stages
        )


Check = Callable[["Params", Path, Scope], Iterator[Finding]]
"""Looks at one part of a run, in a repository's root."""
